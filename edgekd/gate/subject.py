"""What gates judge, and compare with: an engine, and what can be asked of it."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from edgekd.device.latency import Speedup
from edgekd.errors import SpecError
from edgekd.report.target_schema import Coverage, Fidelity, Native
from edgekd.tasks.metric import Metric


class NotApplicableError(SpecError):
    """A limit asks what this engine cannot say; an engine of another runtime or run may."""


@dataclass(frozen=True)
class Subject(ABC):
    """An engine. What none of those that a gate is for knows is a mistake of the gate.

    Attributes:
        name: Of its file.
        kind: Its runtime.
        where: The folder or file that a person gave.
        threads: Threads of one inference.
    """

    name: str
    kind: str
    where: Path
    threads: int

    @property
    def not_run(self) -> str:
        """Why its engine was not run: then what is known are numbers of its file; empty if it was."""
        return ""

    @property
    def exact(self) -> bool:
        """Whether every code of its runtime can be exact; otherwise its arithmetic is its own."""
        return True

    @abstractmethod
    def size_bytes(self) -> int:
        """Return the size of its file."""

    @abstractmethod
    def download_bytes(self) -> int:
        """Return the size of its file when compressed."""

    @abstractmethod
    def metric(self) -> Metric:
        """Return its metric on the test split."""

    @abstractmethod
    def coverage(self) -> Coverage:
        """Return which of its operators run in integers."""

    @abstractmethod
    def fidelity(self) -> Fidelity:
        """Return how far it computes what was trained."""

    @abstractmethod
    def native(self) -> Native:
        """Return how an emulated CPU's results compare with this machine's own."""

    @abstractmethod
    def engine_path(self) -> Path:
        """Return the file that can be timed on this machine."""

    @abstractmethod
    def float_metric(self) -> Metric:
        """Return the metric of its own float student."""

    @abstractmethod
    def agreement(self) -> float:
        """Return the fraction of test samples on which it answers as the trained student."""

    @abstractmethod
    def speedup(self, over: str) -> Speedup:
        """Return how many times faster than a model of its own run it is, as that run measured it."""

    def refuse(self, what: str, *, fix: str) -> NoReturn:
        """Raise the error that says what is not known of this engine."""
        message = f"{self.name} does not say {what}"
        raise NotApplicableError(message, where=str(self.where), fix=fix)
