"""ONNX Runtime on the CPU: how edgekd opens a model, and how it looks inside the graph that really runs."""

import functools
import json
import statistics
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
from numpy.typing import NDArray

from edgekd.errors import BuildError
from edgekd.runtimes.external_data import external_data
from edgekd.runtimes.session import Session, TensorInfo, Tensors

PROFILED_RUNS = 15
_KERNEL_TIME = "_kernel_time"
_FATAL_ONLY = 4
_DTYPES = {"float": "float32", "double": "float64"}


class OnnxRuntimeSession(Session):
    """A model that ONNX Runtime has loaded on the CPU."""

    def __init__(self, model: Path | bytes, *, threads: int) -> None:
        session = open_session(model, threads=threads)
        self.inputs = [_tensor_info(found) for found in session.get_inputs()]
        self.outputs = [_tensor_info(found) for found in session.get_outputs()]
        self._session: ort.InferenceSession | None = session

    def run(self, feeds: Tensors) -> dict[str, NDArray[Any]]:
        """Run once and return every output by name."""
        if self._session is None:
            message = "the session is closed"
            raise ValueError(message)
        return run_all(self._session, feeds)

    def close(self) -> None:
        """Let ONNX Runtime free its memory and threads."""
        self._session = None


def _tensor_info(found: ort.NodeArg) -> TensorInfo:
    kind = found.type.removeprefix("tensor(").removesuffix(")")
    try:
        dtype = np.dtype(_DTYPES.get(kind, kind))
    except TypeError:  # a sequence or a map
        dtype = np.dtype(object)
    return TensorInfo(
        found.name, dtype, tuple(size if isinstance(size, int) else None for size in found.shape)
    )


@functools.cache
def saturates_byte_products() -> bool:
    """Whether this CPU's 8-bit dot product clips intermediate sums, as x86 does without VNNI.

    Asks the kernel itself: 16 products of 255 * 127 must add up. Where they do not, ONNX Runtime has to be
    told ``session.x64quantprecision=1``; elsewhere that option only costs speed (a factor of two on a
    ResNet-20).
    """
    node = onnx.helper.make_node("MatMulInteger", ["x", "w"], ["y"])
    graph = onnx.helper.make_graph(
        [node],
        "probe",
        [onnx.helper.make_tensor_value_info("x", onnx.TensorProto.UINT8, [1, 16])],
        [onnx.helper.make_tensor_value_info("y", onnx.TensorProto.INT32, [1, 16])],
        [onnx.numpy_helper.from_array(np.full((16, 16), 127, np.int8), "w")],
    )
    opset = [onnx.helper.make_opsetid("", 21)]
    model = onnx.helper.make_model(graph, opset_imports=opset, ir_version=10).SerializeToString()
    session = ort.InferenceSession(model, providers=["CPUExecutionProvider"])
    (y,) = session.run(None, {"x": np.full((1, 16), 255, np.uint8)})
    return bool((y != 16 * 255 * 127).any())


def open_session(
    model: Path | bytes,
    *,
    threads: int = 1,
    optimize: bool = True,
    optimized_path: Path | None = None,
    profile_prefix: Path | None = None,
) -> ort.InferenceSession:
    """Open a model on the CPU so that its integer kernels give the same codes on every CPU.

    Args:
        model: A file, or a serialized model.
        threads: Threads of one inference.
        optimize: False runs the nodes exactly as the file has them.
        optimized_path: Where to write the graph that runs.
        profile_prefix: Where to write the runtime's own profile, which the session's ``end_profiling`` ends.

    Raises:
        BuildError: If the model keeps weights outside of its folder, or ONNX Runtime refuses it; its own
            words are kept.
    """
    if isinstance(model, Path):
        external_data(model)
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = _FATAL_ONLY
    level = ort.GraphOptimizationLevel
    options.graph_optimization_level = level.ORT_ENABLE_ALL if optimize else level.ORT_DISABLE_ALL
    if saturates_byte_products():
        options.add_session_config_entry("session.x64quantprecision", "1")
    if optimized_path is not None:
        options.optimized_model_filepath = str(optimized_path)
    if profile_prefix is not None:
        options.enable_profiling = True
        options.profile_file_prefix = str(profile_prefix)
    try:
        source = model if isinstance(model, bytes) else str(model)
        return ort.InferenceSession(source, options, providers=["CPUExecutionProvider"])
    except Exception as e:
        what = f"ONNX Runtime {ort.__version__} refuses the model: {' '.join(str(e).split())}"
        fix = "give an ONNX file of standard operators; export it again, or with a lower opset"
        raise BuildError(what, where="" if isinstance(model, bytes) else str(model), fix=fix) from e


def optimized_graph(model: Path | bytes, *, threads: int = 1) -> onnx.ModelProto:
    """Return the graph that ONNX Runtime runs after its optimisations on this machine."""
    if isinstance(model, Path) and external_data(model):
        model = _with_its_data(model)  # what is saved must not refer to files beside the model
    with tempfile.TemporaryDirectory(prefix="edgekd-") as folder:
        path = Path(folder) / "optimized.onnx"
        open_session(model, threads=threads, optimized_path=path)
        return onnx.load(path)


def _with_its_data(path: Path) -> bytes:
    try:
        return bytes(onnx.load(path).SerializeToString())
    except Exception as e:  # whatever onnx and protobuf make of data that are cut, or larger than 2 GiB
        what = f"the weights beside the model cannot be read: {' '.join(str(e).split())}"
        raise BuildError(what, where=str(path), fix="export it again; weights over 2 GiB do not fit") from e


def run_all(session: ort.InferenceSession, feeds: Tensors) -> dict[str, NDArray[Any]]:
    """Run once and return every output by name.

    Raises:
        BuildError: If a kernel refuses its inputs; ONNX Runtime's own words are kept.
    """
    names = [output.name for output in session.get_outputs()]
    try:
        return dict(zip(names, session.run(names, dict(feeds)), strict=True))
    except Exception as e:
        what = f"ONNX Runtime {ort.__version__} cannot run the model: {' '.join(str(e).split())}"
        raise BuildError(
            what, fix="look at the scales of the operator that is named: was the network trained?"
        ) from e


def node_times(optimized: onnx.ModelProto, feeds: Tensors, *, threads: int = 1) -> list[float]:
    """Return how many microseconds each operator of an optimised graph takes, by the runtime's own profile.

    Args:
        optimized: From :func:`optimized_graph`.
        feeds: The engine's inputs.
        threads: Threads of one inference.

    Returns:
        The mean of the middle half of ``PROFILED_RUNS`` runs by operator, finer than the profile's whole
        microseconds; 0 for one that the profile does not name.
    """
    named = onnx.ModelProto()
    named.CopyFrom(optimized)
    for index, node in enumerate(named.graph.node):
        node.name = f"node{index}"
    with tempfile.TemporaryDirectory(prefix="edgekd-") as folder:
        prefix = Path(folder) / "profile"
        session = open_session(
            named.SerializeToString(), threads=threads, optimize=False, profile_prefix=prefix
        )
        for _ in range(PROFILED_RUNS):
            run_all(session, feeds)
        events = json.loads(Path(session.end_profiling()).read_text())
    times: dict[str, list[float]] = {}
    for event in events:
        if event.get("cat") == "Node" and event["name"].endswith(_KERNEL_TIME):
            times.setdefault(event["name"].removesuffix(_KERNEL_TIME), []).append(event["dur"])
    return [_middle_mean(times.get(node.name, [0.0])) for node in named.graph.node]


def _middle_mean(values: Sequence[float]) -> float:
    quarter = len(values) // 4
    return statistics.fmean(sorted(values)[quarter : len(values) - quarter])


def tap(model: onnx.ModelProto, tensors: Sequence[str]) -> bytes:
    """Return the serialized model with ``tensors`` as additional outputs."""
    tapped = onnx.ModelProto()
    tapped.CopyFrom(model)
    present = {output.name for output in tapped.graph.output}
    tapped.graph.output.extend(onnx.ValueInfoProto(name=name) for name in tensors if name not in present)
    return bytes(tapped.SerializeToString())


def tap_everything(optimized: onnx.ModelProto, feeds: Tensors) -> dict[str, NDArray[Any]]:
    """Run an optimised graph as it stands and return every tensor that it computes; no lists of tensors.

    Args:
        optimized: From :func:`optimized_graph`.
        feeds: The engine's inputs.
    """
    names = [name for node in optimized.graph.node for name in node.output if name]
    values = run_all(open_session(tap(optimized, names), optimize=False), feeds)
    return {name: value for name, value in values.items() if isinstance(value, np.ndarray)}
