"""TensorRT as a board sees it: versions 10 and 11, through NVIDIA's Python bindings."""

from __future__ import annotations

import importlib
from functools import lru_cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from edgekd.board.cuda import Cuda, gpu_name
from edgekd.board.runtime import How, OpenModel, Runtime, RuntimeRefusal

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import ModuleType

    from numpy.typing import NDArray

    from edgekd.board.runtime import Tensor
    from edgekd.board.visits import Run

LAYERS = "Layers:"
"""How the builder's message on the engine's layers begins."""


class TensorRtModel(OpenModel):
    """An engine with one execution context and its tensors in the GPU's memory."""

    def __init__(self, trt: ModuleType, engine: bytes, how: How) -> None:
        heard = hear(trt)
        self._trt, self._runtime = trt, trt.Runtime(heard.logger)
        self._engine = self._runtime.deserialize_cuda_engine(engine)
        if self._engine is None:
            raise RuntimeRefusal(heard.last_error or "the engine cannot be loaded")
        self._cuda = Cuda()
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
        results = self._placed(feeds)
        self._infer(self._contiguous(feeds), results)
        return results

    def prepare(self, feeds: Mapping[str, NDArray[Any]]) -> Run:
        """Return one inference of these feeds, from the host's memory and back to it."""
        return partial(self._infer, self._contiguous(feeds), self._placed(feeds))

    def shown(self) -> bytes:
        """Return the engine's layers, as its inspector tells them in JSON."""
        inspector = self._engine.create_engine_inspector()
        inspector.execution_context = self._context
        told: str = inspector.get_engine_information(self._trt.LayerInformationFormat.JSON)
        return told.encode()

    def times(self) -> list[tuple[str, float]]:
        """Return the layers that ran."""
        return self._times

    def close(self) -> None:
        """Free what the engine has on the GPU."""
        for address, _ in self._memory.values():
            self._cuda.free(address)
        self._memory = {}
        self._context = self._engine = self._runtime = None

    def _infer(self, feeds: Mapping[str, NDArray[Any]], results: Mapping[str, NDArray[Any]]) -> None:
        for name, array in feeds.items():
            self._cuda.to_gpu(self._memory[name][0], array)
        if not self._context.execute_async_v3(self._cuda.stream):
            raise RuntimeRefusal(self._heard.last_error or "the engine did not run")
        for name, array in results.items():
            self._cuda.from_gpu(array, self._memory[name][0])
        self._cuda.wait()

    def _placed(self, feeds: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        """Give every tensor of these feeds its memory and return arrays for the outputs."""
        for name, _, _ in self.inputs:
            if name not in feeds or not self._context.set_input_shape(name, feeds[name].shape):
                shape = feeds[name].shape if name in feeds else None
                raise RuntimeRefusal(self._heard.last_error or f"input {name} does not take {shape}")
            self._place(name, feeds[name].nbytes)
        results = {
            name: np.empty(tuple(self._context.get_tensor_shape(name)), dtype)
            for name, dtype, _ in self.outputs
        }
        for name, array in results.items():
            self._place(name, array.nbytes)
        return results

    def _place(self, name: str, size_bytes: int) -> None:
        address, room = self._memory.get(name, (0, -1))
        if room < size_bytes:
            if address:
                self._cuda.free(address)
            address = self._cuda.allocate(size_bytes)
            self._memory[name] = address, size_bytes
        self._context.set_tensor_address(name, address)

    def _contiguous(self, feeds: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        return {name: np.ascontiguousarray(feeds[name], dtype) for name, dtype, _ in self.inputs}

    def _tensor(self, name: str) -> Tensor:
        dtype = np.dtype(self._trt.nptype(self._engine.get_tensor_dtype(name))).name
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
        """NVIDIA's bindings."""
        return importlib.import_module("tensorrt")

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
            options: ``largest_batch``: of a first dimension that is free.
            cache: What an earlier build gave as its third result; empty at first.

        Returns:
            The engine, the builder's message on its layers, and how long kernels took, for the next build.
        """
        trt = self.trt
        heard = hear(trt)
        builder = trt.Builder(heard.logger)
        network = builder.create_network(_strongly_typed(trt))
        parser = trt.OnnxParser(network, heard.logger)
        if not parser.parse_from_file(model):
            errors = [parser.get_error(index).desc() for index in range(parser.num_errors)]
            raise RuntimeRefusal("; ".join(errors) or heard.last_error or "the file cannot be parsed")
        config = builder.create_builder_config()
        config.profiling_verbosity = trt.ProfilingVerbosity.DETAILED
        if not self.builds_without_gpu:  # else it times no kernel
            config.set_timing_cache(config.create_timing_cache(cache), ignore_mismatch=True)
        _allow_batches(builder, config, network, int(options["largest_batch"]))
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


def _strongly_typed(trt: ModuleType) -> int:
    """Return the flag that TensorRT 10 needs and 11 no longer knows a choice for."""
    flag = getattr(trt.NetworkDefinitionCreationFlag, "STRONGLY_TYPED", None)
    return 0 if flag is None else 1 << int(flag)


def _allow_batches(builder: Any, config: Any, network: Any, largest: int) -> None:
    """Let a first dimension that is free be 1..largest; engines are made for 1."""
    profile, free = builder.create_optimization_profile(), False
    for index in range(network.num_inputs):
        tensor = network.get_input(index)
        sizes = tuple(tensor.shape)
        if sizes and sizes[0] < 0:
            one, most = (1, *sizes[1:]), (largest, *sizes[1:])
            profile.set_shape(tensor.name, one, one, most)
            free = True
    if free:
        config.add_optimization_profile(profile)


RUNTIME = TensorRt("TensorRT")
