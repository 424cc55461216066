import ctypes
import importlib.util
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
import pytest

from edgekd.lower.graph import MARK_DOMAIN
from edgekd.runtimes.onnx_runtime import open_session, run_all


@pytest.fixture
def graph(onnx_model):
    """Return a function that builds an ``onnx_ir`` model from ONNX text and its constants."""

    def build(inputs, outputs, body, **constants):
        return ir.from_proto(onnx_model(inputs, outputs, body, constants, domain=MARK_DOMAIN))

    return build


@pytest.fixture
def evaluate():
    """Return a function that runs a model without marks exactly as it is written."""

    def run(model, **feeds):
        model.opset_imports.pop(MARK_DOMAIN, None)
        model.graph.opset_imports.pop(MARK_DOMAIN, None)
        session = open_session(ir.to_proto(model).SerializeToString(), optimize=False)
        return run_all(session, {name: np.asarray(value) for name, value in feeds.items()})

    return run


@pytest.fixture
def op_types():
    """Return a function that lists a model's operator types in order."""
    return lambda model: [node.op_type for node in model.graph]


@dataclass(frozen=True)
class RtxBuild:
    """What TensorRT-RTX made of a model: the size of its engine, 0 if it refused, and its complaints."""

    engine_bytes: int
    complaints: tuple[str, ...]


@pytest.fixture(scope="session")
def build_with_rtx() -> Callable[[onnx.ModelProto], RtxBuild]:
    """Return a function that parses and builds a model with TensorRT-RTX, ahead of time: no GPU is needed.

    Free dimensions are 1 to 8.
    """
    found = importlib.util.find_spec("tensorrt_rtx_libs")
    if found is None or not found.submodule_search_locations:
        pytest.skip("TensorRT-RTX is not installed (pip install 'edgekd[tensorrt-rtx]')")
    for library in ("libtensorrt_rtx.so.1", "libtensorrt_onnxparser_rtx.so.1"):
        ctypes.CDLL(str(Path(found.submodule_search_locations[0]) / library), mode=ctypes.RTLD_GLOBAL)
    import tensorrt_rtx_bindings as trt

    class Log(trt.ILogger):
        def __init__(self):
            super().__init__()
            self.complaints = []

        def log(self, severity, message):
            if severity not in (trt.ILogger.Severity.INFO, trt.ILogger.Severity.VERBOSE):
                self.complaints.append(message)

    log = Log()  # of the process: TensorRT keeps the first that it is given

    def build(model: onnx.ModelProto) -> RtxBuild:
        log.complaints.clear()
        builder = trt.Builder(log)
        network = builder.create_network(0)
        parser = trt.OnnxParser(network, log)
        engine = None
        if parser.parse(model.SerializeToString()):
            config = builder.create_builder_config()
            profile = builder.create_optimization_profile()
            for index in range(network.num_inputs):
                value = network.get_input(index)
                smallest, largest = ([free if size < 0 else size for size in value.shape] for free in (1, 8))
                profile.set_shape(value.name, smallest, smallest, largest)
            config.add_optimization_profile(profile)
            engine = builder.build_serialized_network(network, config)
        return RtxBuild(0 if engine is None else engine.nbytes, tuple(log.complaints))

    return build
