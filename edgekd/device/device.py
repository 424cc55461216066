"""What a device is: a machine on which engines are opened, run and, unless it is emulated, timed."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from contextlib import AbstractContextManager

from edgekd.board.rounds import STANDARD, Design
from edgekd.core.machine import Machine
from edgekd.core.spec_base import Spec
from edgekd.device.latency import Measurement
from edgekd.runtimes.host import Host
from edgekd.runtimes.session import Tensors
from edgekd.runtimes.target import BuiltModel


class Connection(ABC):
    """A device that answers.

    Attributes:
        machine: What it is.
        host: Its ONNX Runtime.
    """

    machine: Machine
    host: Host

    @property
    def times(self) -> bool:
        """Whether latency means something there."""
        return self.host.times

    @abstractmethod
    def measure(
        self,
        models: Mapping[str, BuiltModel],
        feeds: Mapping[str, Tensors],
        *,
        seed: int,
        design: Design = STANDARD,
    ) -> Measurement:
        """Time single inferences of several models, interleaved in one run.

        Args:
            models: By name, all with as many threads. The first is compared with the others.
            feeds: The inputs of each, by the same names.
            seed: Of the order within each session and round.
            design: How long is measured.
        """


class DeviceSpec(Spec, ABC):
    """A device as a pipeline file names it."""

    kind: str

    @property
    def name(self) -> str:
        """How reports and errors call it."""
        return self.kind

    @abstractmethod
    def connect(self) -> AbstractContextManager[Connection]:
        """Reach it; the context ends everything there.

        Raises:
            DeviceError: If it cannot be reached, or lacks what is needed.
        """
