"""Where ONNX Runtime opens a model: in this process, or with the runner of a device."""

from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any

from edgekd.runtimes.session import Session, Tensors


class Host(ABC):
    """ONNX Runtime, wherever it is.

    Attributes:
        times: Whether its clock means something; that of an emulated CPU does not.
    """

    times: bool = True

    @abstractmethod
    def runtime_version(self) -> str:
        """Return ONNX Runtime's version there."""

    @abstractmethod
    def saturates(self) -> bool:
        """Return whether the CPU's 8-bit dot product clips, which edgekd has ONNX Runtime avoid."""

    @abstractmethod
    def open(self, model: Path | bytes, *, threads: int = 1, optimize: bool = True) -> Session:
        """Open a model.

        Args:
            model: A file, with the weights beside it, or a serialized model.
            threads: Threads of one inference.
            optimize: False runs the nodes exactly as the file has them.

        Raises:
            BuildError: If ONNX Runtime refuses it; its own words are kept.
        """

    @abstractmethod
    def optimized(self, model: Path | bytes, *, threads: int = 1) -> bytes:
        """Return the serialized graph that runs after ONNX Runtime's optimisations there."""

    @abstractmethod
    def profile(self, model: bytes, feeds: Tensors, *, runs: int, threads: int = 1) -> list[dict[str, Any]]:
        """Run the nodes of a model as they stand and return the events of ONNX Runtime's own profile."""
