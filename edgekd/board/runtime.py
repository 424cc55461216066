"""What a board knows of a runtime: opening a model, running it, and showing what really runs."""

from __future__ import annotations

import importlib
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, List, Optional, Tuple

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from edgekd.board.visits import Run

RUNTIMES = ("onnxruntime", "openvino", "tensorrt", "tensorrt_rtx")
"""By the kind of target that each serves. Its module here has that name, and holds a ``RUNTIME``."""

Tensor = Tuple[str, str, List[Optional[int]]]
"""Name, numpy's name of the type, and sizes of an input or output; None where a size is free."""


class RuntimeRefusal(Exception):  # noqa: N818  the words are the runtime's
    """A runtime's own words, on one line."""


@dataclass(frozen=True)
class How:
    """How a model is opened.

    Attributes:
        threads: Of one inference, on a CPU.
        optimize: False runs the nodes exactly as the file has them, where a runtime can.
        shown: Whether what runs will be asked for.
        profile: Whether the time of each operator will be asked for.
        scratch: A folder of this model's own, for what a runtime writes; needed for the two before.
    """

    threads: int = 1
    optimize: bool = True
    shown: bool = False
    profile: bool = False
    scratch: str = ""


class OpenModel(ABC):
    """A model that a runtime of this machine has opened.

    Attributes:
        inputs: What it takes.
        outputs: What it gives.
    """

    inputs: list[Tensor]
    outputs: list[Tensor]

    @abstractmethod
    def run(self, feeds: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        """Run once and return every output by name; RuntimeRefusal if the feeds are refused."""

    @abstractmethod
    def prepare(self, feeds: Mapping[str, NDArray[Any]]) -> Run:
        """Return what is timed: one inference of these feeds, from the host's memory and back to it."""

    @abstractmethod
    def shown(self) -> bytes:
        """Return what runs, in the runtime's own form; only after ``How(shown=True)``."""

    @abstractmethod
    def times(self) -> list[tuple[str, float]]:
        """Return operator and microseconds of everything that ran, and end; after ``How(profile=True)``."""

    @abstractmethod
    def close(self) -> None:
        """Give back memory and threads."""


class Runtime(ABC):
    """A runtime that this machine has.

    Attributes:
        title: What people call it.
    """

    title: str

    @abstractmethod
    def facts(self) -> dict[str, Any]:
        """Return what engines depend on: ``version``, and more that is this runtime's own.

        The process may fork afterwards: no thread is left running, and no GPU in use.
        """

    @abstractmethod
    def open(self, model: str | bytes, how: How) -> OpenModel:
        """Open a file by its path, or a serialized model; RuntimeRefusal if it is refused."""

    def build(self, model: str, options: Mapping[str, Any], cache: bytes) -> tuple[bytes, str, bytes]:
        """Build an engine from a file.

        Args:
            model: Path of an ONNX file.
            options: Of the builder.
            cache: What an earlier build gave as its third result; empty at first.

        Returns:
            The engine, what the builder said of it, and what makes the next build faster.

        Raises:
            RuntimeRefusal: If the runtime does not build it, or builds no engines at all.
        """
        msg = f"{self.title} builds no engines"
        raise RuntimeRefusal(msg)


def runtime_called(name: str) -> Runtime:
    """Return a runtime by the kind of its targets; ValueError if there is none."""
    if name not in RUNTIMES:
        msg = "no such runtime: host and runner are of different versions"
        raise ValueError(msg)
    found: Runtime = importlib.import_module(f"edgekd.board.{name}").RUNTIME
    return found


def one_line(error: BaseException) -> str:
    """Return the words of an error on one line."""
    return " ".join(str(error).split())
