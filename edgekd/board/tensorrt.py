"""TensorRT as a board sees it: versions 10 and 11, through NVIDIA's Python bindings."""

from __future__ import annotations

import importlib
from contextlib import contextmanager
from functools import lru_cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from edgekd.board.cuda import Cuda, gpu_name
from edgekd.board.runtime import How, OpenModel, Runtime, RuntimeRefusal, one_line

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from types import ModuleType

    from numpy.typing import NDArray

    from edgekd.board.runtime import Tensor
    from edgekd.board.visits import Run

OLDEST = 10
"""The first version whose networks hold to the types of the file."""

LAYERS = "Layers:"
"""How the builder's message on the engine's layers begins."""


class TensorRtModel(OpenModel):
    """An engine with one execution context and its tensors in the GPU's memory."""

    def __init__(self, trt: ModuleType, engine: bytes, how: How) -> None:
        self._cuda, heard = Cuda(), hear(trt)  # without a GPU the driver's words are the clearer ones
        with _refused_in_words(heard):
            self._trt, self._runtime = trt, trt.Runtime(heard.logger)
        self._engine = self._runtime.deserialize_cuda_engine(engine)
        if self._engine is None:
            raise RuntimeRefusal(heard.last_error or "the engine cannot be loaded")
        self._context = self._engine.create_execution_context()
        if self._context is None:
            raise RuntimeRefusal(heard.last_error or "no execution context can be made")
        names = [self._engine.get_tensor_name(index) for index in range(self._engine.num_io_tensors)]
        modes = {name: self._engine.get_tensor_mode(name) for name in names}
        self.inputs, self.outputs = (
            [self._tensor(name) for name in names if modes[name] == mode]
            for mode in (trt.TensorIOMode.INPUT, trt.TensorIOMode.OUTPUT)
        )
        self._memory: dict[str, tuple[int, int]] = {}
        self._times: list[tuple[str, float]] = []
        if how.profile:
            self._profiler = profiler(trt, self._times)
            self._context.profiler = self._profiler
        self._heard = heard

    def run(self, feeds: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        """Run once and return every output by name."""
        taken = self._taken(feeds)
        results = self._placed(taken)
        self._infer(taken, results)
        return results

    def prepare(self, feeds: Mapping[str, NDArray[Any]]) -> Run:
        """Return one inference of these feeds, from the host's memory and back; good until others are run."""
        taken = self._taken(feeds)
        return partial(self._infer, taken, self._placed(taken))

    def shown(self) -> bytes:
        """Return the engine's layers, as its inspector tells them in JSON.

        It tells no types of what depends on a size that is free, so these get what the engine was made for.
        """
        for name, _, sizes in self.inputs:
            if None in sizes:
                _, usual, _ = self._engine.get_tensor_profile_shape(name, 0)
                self._context.set_input_shape(name, tuple(usual))
        inspector = self._engine.create_engine_inspector()
        inspector.execution_context = self._context
        told: str = inspector.get_engine_information(self._trt.LayerInformationFormat.JSON)
        return told.encode()

    def times(self) -> list[tuple[str, float]]:
        """Return the layers that ran."""
        return self._times

    def close(self) -> None:
        """Free what the engine has on the GPU."""
        self._context = self._engine = self._runtime = None
        for address, _ in self._memory.values():
            self._cuda.free(address)
        self._memory = {}
        self._cuda.close()

    def _infer(self, feeds: Mapping[str, NDArray[Any]], results: Mapping[str, NDArray[Any]]) -> None:
        for name, array in feeds.items():
            self._cuda.to_gpu(self._memory[name][0], array)
        if not self._context.execute_async_v3(self._cuda.stream):
            raise RuntimeRefusal(self._heard.last_error or "the engine did not run")
        for name, array in results.items():
            self._cuda.from_gpu(array, self._memory[name][0])
        self._cuda.wait()

    def _taken(self, feeds: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        """Return the inputs' arrays, contiguous; RuntimeRefusal if one is missing or of another type."""
        for name, dtype, _ in self.inputs:
            if name not in feeds or feeds[name].dtype != dtype:
                given = feeds[name].dtype if name in feeds else "nothing"
                msg = f"input {name} takes {dtype}, not {given}"
                raise RuntimeRefusal(msg)
        return {name: np.asarray(feeds[name], order="C") for name, *_ in self.inputs}

    def _placed(self, taken: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        """Give every tensor its memory and return arrays for the outputs, whose sizes follow the inputs'."""
        for name, array in taken.items():
            if not self._context.set_input_shape(name, array.shape):
                raise RuntimeRefusal(self._heard.last_error or f"input {name} does not take {array.shape}")
            self._place(name, array.nbytes)
        results = {}
        for name, dtype, _ in self.outputs:
            sizes = tuple(self._context.get_tensor_shape(name))
            if any(size < 0 for size in sizes):
                msg = f"output {name} has sizes {sizes} that are known only when it is computed"
                raise RuntimeRefusal(msg)
            results[name] = np.empty(sizes, dtype)
            self._place(name, results[name].nbytes)
        return results

    def _place(self, name: str, size_bytes: int) -> None:
        address, room = self._memory.get(name, (0, -1))
        if room < size_bytes:
            if self._memory.pop(name, None):
                self._cuda.free(address)
            address = self._cuda.allocate(size_bytes)
            self._memory[name] = address, size_bytes
        if not self._context.set_tensor_address(name, address):
            raise RuntimeRefusal(self._heard.last_error or f"{name} does not take its memory")

    def _tensor(self, name: str) -> Tensor:
        if self._engine.get_tensor_location(name) != self._trt.TensorLocation.DEVICE:
            msg = f"{name} sets sizes of other tensors: only the first size of inputs may be free"
            raise RuntimeRefusal(msg)
        try:
            dtype = np.dtype(self._trt.nptype(self._engine.get_tensor_dtype(name))).name
        except TypeError as e:
            msg = f"{name}: {one_line(e)}"
            raise RuntimeRefusal(msg) from e
        sizes = self._engine.get_tensor_shape(name)
        return name, dtype, [size if size >= 0 else None for size in sizes]


class TensorRt(Runtime):
    """Engines for NVIDIA's GPUs.

    Args:
        title: What people call it.
    """

    def __init__(self, title: str) -> None:
        self.title = title

    @property
    def trt(self) -> ModuleType:
        """NVIDIA's bindings; ImportError if they are missing or too old."""
        found = importlib.import_module("tensorrt")
        if int(found.__version__.partition(".")[0]) < OLDEST:
            msg = f"TensorRT {found.__version__} is too old: edgekd needs version {OLDEST} or newer"
            raise ImportError(msg)
        return found

    @property
    def builds_without_gpu(self) -> bool:
        """Whether the builder needs no GPU."""
        return False

    def facts(self) -> dict[str, Any]:
        """Return its version, the GPU, empty if there is none, and whether it builds without one."""
        return {
            "version": self.trt.__version__,
            "gpu": gpu_name(),
            "builds_without_gpu": self.builds_without_gpu,
        }

    def open(self, model: str | bytes, how: How) -> OpenModel:
        """Load an engine."""
        return TensorRtModel(self.trt, model if isinstance(model, bytes) else Path(model).read_bytes(), how)

    def build(self, model: str, options: Mapping[str, Any], cache: bytes) -> tuple[bytes, str, bytes]:
        """Parse an ONNX file and build an engine that holds to the types of the file.

        Args:
            model: Path of the file.
            options: Of a first dimension that is free: ``usual_batch``, 1 if it is left out, and
                ``largest_batch``.
            cache: What an earlier build gave as its third result; empty at first.

        Returns:
            The engine, the builder's message on its layers, and how long kernels took, for the next build.
        """
        trt = self.trt
        heard = hear(trt)
        with _refused_in_words(heard):
            builder = trt.Builder(heard.logger)
        # of version 10; later ones know no other networks
        network = builder.create_network(1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED))
        parser = trt.OnnxParser(network, heard.logger)
        if not parser.parse_from_file(model):
            errors = [parser.get_error(index).desc() for index in range(parser.num_errors)]
            words = " ".join("; ".join(errors).split())
            raise RuntimeRefusal(words or heard.last_error or "the file cannot be parsed")
        config = builder.create_builder_config()
        config.profiling_verbosity = trt.ProfilingVerbosity.DETAILED
        if not self.builds_without_gpu:  # else it times no kernel
            _set_timing_cache(config, cache)
        usual = int(options.get("usual_batch", 1))
        _allow_batches(builder, config, network, usual, int(options["largest_batch"]))
        engine = builder.build_serialized_network(network, config)
        if engine is None:
            raise RuntimeRefusal(heard.last_error or "the builder gives no engine and no reason")
        timed = None if self.builds_without_gpu else config.get_timing_cache()
        return bytes(engine), heard.layers, b"" if timed is None else bytes(timed.serialize())


class Heard:
    """What a runtime has said that somebody will ask for.

    Args:
        trt: NVIDIA's bindings.
    """

    def __init__(self, trt: ModuleType) -> None:
        self.logger = _logger(trt, self)
        self.clear()

    def clear(self) -> None:
        """Forget it."""
        self.errors: list[str] = []
        self.layers = ""

    @property
    def last_error(self) -> str:
        """The newest error on one line; empty if all went well."""
        return " ".join(" ".join(self.errors[-1:]).split())


@lru_cache(maxsize=None)
def _heard(trt: ModuleType) -> Heard:
    return Heard(trt)


def hear(trt: ModuleType) -> Heard:
    """Return what is said from now on: a process keeps the first logger that TensorRT was given."""
    heard = _heard(trt)
    heard.clear()
    return heard


def _logger(trt: ModuleType, heard: Heard) -> Any:
    """Return a logger that prints nothing and keeps what matters."""

    class Logger(trt.ILogger):  # type: ignore[misc, name-defined]
        def __init__(self) -> None:
            trt.ILogger.__init__(self)

        def log(self, severity: Any, message: str) -> None:
            if severity <= trt.ILogger.Severity.ERROR:
                heard.errors.append(message)
            elif message.lstrip().startswith(LAYERS):
                heard.layers = message.strip()

    return Logger()


def profiler(trt: ModuleType, times: list[tuple[str, float]]) -> Any:
    """Return what a context tells the time of each layer."""

    class Profiler(trt.IProfiler):  # type: ignore[misc, name-defined]
        def __init__(self) -> None:
            trt.IProfiler.__init__(self)

        def report_layer_time(self, layer_name: str, ms: float) -> None:
            times.append((layer_name, 1e3 * ms))

    return Profiler()


@contextmanager
def _refused_in_words(heard: Heard) -> Iterator[None]:
    """Say why TensorRT makes no builder or runtime: without a GPU, or one that is too old."""
    try:
        yield
    except TypeError as e:  # of the bindings, for a null pointer
        raise RuntimeRefusal(heard.last_error or one_line(e)) from e


def _set_timing_cache(config: Any, cache: bytes) -> None:
    """Give the builder what earlier builds measured, unless that was on another GPU or driver."""
    if not config.set_timing_cache(config.create_timing_cache(cache), ignore_mismatch=False):
        config.set_timing_cache(config.create_timing_cache(b""), ignore_mismatch=False)


def _allow_batches(builder: Any, config: Any, network: Any, usual: int, largest: int) -> None:
    """Let a first dimension that is free be 1..largest; engines are made for the usual size."""
    profile, free = builder.create_optimization_profile(), False
    for index in range(network.num_inputs):
        tensor = network.get_input(index)
        sizes = tuple(tensor.shape)
        if any(size < 0 for size in sizes[1:]):
            msg = f"input {tensor.name} has free sizes in {sizes}: only its first size may be"
            raise RuntimeRefusal(msg)
        if sizes and sizes[0] < 0:
            one, most, made_for = ((size, *sizes[1:]) for size in (1, largest, usual))
            profile.set_shape(tensor.name, one, made_for, most)
            free = True
    if free:
        config.add_optimization_profile(profile)


RUNTIME = TensorRt("TensorRT")
