"""What an engine is built for: a runtime of some version on some machine."""

from pydantic import SerializeAsAny

from edgekd.core.machine import Machine
from edgekd.core.spec_base import Spec, json_digest
from edgekd.device.device import Connection, DeviceSpec
from edgekd.errors import DeviceError
from edgekd.runtimes.target import TargetSpec


class Place(Spec):
    """What a device said before the long work.

    Attributes:
        device: The device.
        runtime_version: Of the runtime there; empty if it lacks it.
        machine: What it is.
        gpu: What engines are built for there, if not for the CPU.
        not_built: Why it cannot build engines, and how it could; empty if it can.
        not_run: Why it cannot run them; empty if it can.
    """

    device: SerializeAsAny[DeviceSpec]
    runtime_version: str
    machine: Machine
    gpu: str = ""
    not_built: str = ""
    not_run: str = ""

    def __str__(self) -> str:
        machine = self.machine
        cores = f"{self.gpu or machine.cpu}, {machine.cores} cores"
        return f"{self.device.name}: {cores}, runtime {self.runtime_version or 'none'}"

    @property
    def digest(self) -> str:
        """Hex sha256 of what an engine depends on.

        An engine for a CPU is a file of ours, wherever that is. One for a GPU is made by the device, and
        loaded by native code: it is for that device alone.
        """
        maker = self.device.name if self.gpu else ""
        return json_digest([self.runtime_version, list(self.machine.isa), self.gpu, maker])

    def check(self, target: TargetSpec, connection: Connection) -> None:
        """Say if the runtime, the CPU or the GPU is another one by now.

        Raises:
            DeviceError: If so: an engine is built for the first.
        """
        ready = target.readiness(host=connection.host)
        version = ready.version
        if version != self.runtime_version:
            what = f"its runtime was {self.runtime_version} when the run began, and is {version} now"
            fix = "run the command again: it builds for the one that is there"
            raise DeviceError(what, where=self.device.name, fix=fix)
        if ready.gpu != self.gpu:
            what = f"its GPU was {self.gpu or 'none'} when the run began, and is {ready.gpu or 'none'} now"
            fix = "run the command again: it builds for the one that is there"
            raise DeviceError(what, where=self.device.name, fix=fix)
        if connection.machine.isa != self.machine.isa:
            what = f"its CPU was {self.machine.cpu} when the run began, and is {connection.machine.cpu} now"
            fix = "does one name mean several boards? run the command again: it builds for the one there is"
            raise DeviceError(what, where=self.device.name, fix=fix)


def place_of(target: TargetSpec, device: DeviceSpec) -> Place:
    """Connect to a target's device and ask what it is.

    Raises:
        DeviceError: If it does not answer, or lacks what is needed.
    """
    with device.connect() as connection:
        ready = target.readiness(host=connection.host)
        return Place(
            device=device,
            runtime_version=ready.version,
            machine=connection.machine,
            gpu=ready.gpu,
            not_built=ready.not_built,
            not_run=ready.not_run,
        )
