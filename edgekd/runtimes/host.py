"""Where runtimes open models: in this process, or with the runner of a device."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from edgekd.errors import BuildError
from edgekd.runtimes.session import Session, Tensors

ONNX_RUNTIME = "onnxruntime"
"""The kind of its targets, and what runs wherever no other runtime is named."""

_EXPORT_AGAIN = "give an ONNX file of standard operators; export it again, or with a lower opset"
_BUILD_AGAIN = "build it with the version, and on a machine with the GPU, that opens it"


_GPU_FACTS = {"version": str, "gpu": str, "builds_without_gpu": bool}


class KnownRuntime(NamedTuple):
    """What is known of a runtime before it is imported.

    Attributes:
        title: What people call it.
        package: What brings it, as pip knows it.
        extra: Of edgekd, which brings the package.
        facts: What a machine says of it.
        on_boards: What brings it where the package does not.
    """

    title: str
    package: str
    extra: str
    facts: Mapping[str, type]
    on_boards: str = ""

    @property
    def makes_engines(self) -> bool:
        """Whether it runs engines that it builds, not ONNX files."""
        return "gpu" in self.facts


KNOWN = {
    ONNX_RUNTIME: KnownRuntime(
        "ONNX Runtime", "onnxruntime", "onnxruntime", {"version": str, "saturates": bool}
    ),
    "openvino": KnownRuntime("OpenVINO", "openvino", "openvino", {"version": str}),
    "tensorrt": KnownRuntime(
        "TensorRT",
        "tensorrt",
        "tensorrt",
        _GPU_FACTS,
        "on a Jetson: apt-get install python3-libnvinfer, for the python3 of its system",
    ),
    "tensorrt_rtx": KnownRuntime("TensorRT-RTX", "tensorrt-rtx", "tensorrt-rtx", _GPU_FACTS),
}
"""The runtimes, by the kind of their targets."""


class BuiltEngine(NamedTuple):
    """What a builder gives.

    Attributes:
        engine: To be written to a file.
        log: What it said of the engine's operators; empty where it says nothing.
        cache: What makes the next build on the same kind of machine faster.
    """

    engine: bytes
    log: str
    cache: bytes


class Host(ABC):
    """A machine's runtimes.

    Attributes:
        times: Whether its clock means something; that of an emulated CPU does not.
    """

    times: bool = True

    @abstractmethod
    def facts(self, runtime: str = ONNX_RUNTIME) -> Mapping[str, Any]:
        """Return what engines depend on: ``version``, and more that is the runtime's own.

        Raises:
            RuntimeMissing: If this machine lacks it, or DeviceError, if another one does.
        """

    def runtime_version(self, runtime: str = ONNX_RUNTIME) -> str:
        """Return a runtime's version there."""
        return str(self.facts(runtime)["version"])

    def saturates(self) -> bool:
        """Return whether the CPU's 8-bit dot product clips, which edgekd has ONNX Runtime avoid."""
        return bool(self.facts()["saturates"])

    @abstractmethod
    def open(
        self,
        model: Path | bytes,
        *,
        runtime: str = ONNX_RUNTIME,
        threads: int = 1,
        optimize: bool = True,
    ) -> Session:
        """Open a model.

        Args:
            model: A file, with the weights beside it, or a serialized model.
            runtime: The kind of its targets.
            threads: Threads of one inference.
            optimize: False runs the nodes exactly as the file has them, where a runtime can.

        Raises:
            BuildError: If the runtime refuses it; its own words are kept.
        """

    @abstractmethod
    def shown(self, model: Path | bytes, *, runtime: str = ONNX_RUNTIME, threads: int = 1) -> bytes:
        """Return the graph that runs there after the runtime's optimisations, in the runtime's own form."""

    @abstractmethod
    def profile(
        self,
        model: Path | bytes,
        feeds: Tensors,
        *,
        runs: int,
        runtime: str = ONNX_RUNTIME,
        threads: int = 1,
        optimize: bool = True,
    ) -> list[tuple[str, float]]:
        """Run a model several times and return operator and microseconds of everything that ran."""

    @abstractmethod
    def build(self, model: Path, options: Mapping[str, Any], *, runtime: str, cache: bytes) -> BuiltEngine:
        """Have an engine built.

        Args:
            model: An ONNX file.
            options: Of the runtime's builder.
            runtime: The kind of its targets.
            cache: Of an earlier build; empty without one.

        Raises:
            BuildError: If the runtime does not build it; its own words are kept.
        """


def refused(words: str, runtime: str, version: str, model: Path | bytes) -> BuildError:
    """Return what to raise when a runtime does not open or build a model."""
    what = f"{KNOWN[runtime].title} {version} refuses the model: {words}"
    if isinstance(model, bytes):
        return BuildError(what, fix=_EXPORT_AGAIN)
    is_engine = KNOWN[runtime].makes_engines and model.suffix != ".onnx"
    return BuildError(what, where=str(model), fix=_BUILD_AGAIN if is_engine else _EXPORT_AGAIN)


def cannot_run(words: str, runtime: str, version: str) -> BuildError:
    """Return what to raise when a kernel refuses its inputs."""
    what = f"{KNOWN[runtime].title} {version} cannot run the model: {words}"
    return BuildError(what, fix="look at the scales of the operator that is named: was the network trained?")
