"""The union of devices. It is apart from the others, because what measures imports no torch."""

from typing import Annotated

from pydantic import TypeAdapter, ValidationError

from edgekd.core.union import BY_KIND, members_by_kind
from edgekd.device.device import DeviceSpec
from edgekd.device.emulated import EmulatedDevice
from edgekd.device.local import LocalDevice
from edgekd.device.ssh import SshDevice
from edgekd.errors import SpecError

Device = Annotated[LocalDevice | SshDevice | EmulatedDevice, BY_KIND]


def device_from_text(text: str) -> DeviceSpec:
    """Return the device that a command line names, as ``KIND`` or ``KIND:NAME``.

    Raises:
        SpecError: If there is none of that kind, or its name is not as it takes it.
    """
    kinds = members_by_kind(Device)
    try:
        found: DeviceSpec = TypeAdapter(Device).validate_python(text)
    except ValueError as e:  # pydantic's own error is one
        known = text.partition(":")[0] in kinds
        reason = str(e).removeprefix("Value error, ")
        if isinstance(e, ValidationError):
            reason = e.errors()[0]["msg"].removeprefix("Value error, ")
        what = f"--device {text!r}: {reason if known else 'there is no such device'}"
        raise SpecError(
            what, where="--device", fix=f"KIND or KIND:NAME, with KIND one of: {', '.join(kinds)}"
        ) from e
    return found
