"""What an engine is built for: a runtime of some version on some machine."""

from dataclasses import dataclass

from edgekd.core.machine import Machine
from edgekd.device.device import Connection, DeviceSpec
from edgekd.errors import DeviceError
from edgekd.runtimes.target import TargetSpec


@dataclass(frozen=True)
class Place:
    """What a device said before the long work.

    Attributes:
        device: Its name.
        runtime_version: Of the runtime there.
        machine: What it is.
    """

    device: str
    runtime_version: str
    machine: Machine

    def __str__(self) -> str:
        machine = self.machine
        return f"{self.device}: {machine.cpu}, {machine.cores} cores, runtime {self.runtime_version}"

    def check(self, target: TargetSpec, connection: Connection) -> None:
        """Say if the runtime or the CPU is another one by now.

        Raises:
            DeviceError: If so: the engine was built for the first.
        """
        version = target.runtime_version(host=connection.host)
        if version != self.runtime_version:
            what = f"its runtime was {self.runtime_version} when the run began, and is {version} now"
            fix = "run the command again: it builds for the one that is there"
            raise DeviceError(what, where=self.device, fix=fix)
        if connection.machine.isa != self.machine.isa:
            what = f"its CPU was {self.machine.cpu} when the run began, and is {connection.machine.cpu} now"
            fix = "does one name mean several boards? run the command again: it builds for the one there is"
            raise DeviceError(what, where=self.device, fix=fix)


def place_of(target: TargetSpec, device: DeviceSpec) -> Place:
    """Connect to a target's device and ask what it is.

    Raises:
        DeviceError: If it does not answer, or lacks what is needed.
    """
    with device.connect() as connection:
        version = target.runtime_version(host=connection.host)
        return Place(device.name, version, connection.machine)
