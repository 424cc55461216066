"""The union of devices. It is apart from the others, because what measures imports no torch."""

from typing import Annotated

from edgekd.core.spec_file import plugin_from_option
from edgekd.core.union import BY_KIND
from edgekd.device.device import DeviceSpec
from edgekd.device.emulated import EmulatedDevice
from edgekd.device.local import LocalDevice
from edgekd.device.ssh import SshDevice

Device = Annotated[LocalDevice | SshDevice | EmulatedDevice, BY_KIND]


def device_from_text(text: str) -> DeviceSpec:
    """Return the device that a command line names, as ``KIND``, ``KIND:NAME`` or a mapping.

    Raises:
        SpecError: If there is none of that kind, or it does not take what is written.
    """
    found: DeviceSpec = plugin_from_option(Device, text, option="--device", text_form="KIND:NAME")
    return found
