"""ONNX Runtime on the CPU: how edgekd opens a model, and how it looks inside the graph that really runs."""

import json
import statistics
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from edgekd.board import sessions
from edgekd.errors import BuildError
from edgekd.runtimes.external_data import external_data, locations
from edgekd.runtimes.host import Host
from edgekd.runtimes.session import Session, TensorInfo, Tensors

PROFILED_RUNS = 15
_KERNEL_TIME = "_kernel_time"
_DTYPES = {"float": "float32", "double": "float64"}


class OnnxRuntimeSession(Session):
    """A model that ONNX Runtime has loaded on the CPU."""

    def __init__(self, model: Path | bytes, *, threads: int, optimize: bool = True) -> None:
        session = open_session(model, threads=threads, optimize=optimize)
        self.inputs, self.outputs = (
            [tensor_info(found.name, found.type, found.shape) for found in values]
            for values in (session.get_inputs(), session.get_outputs())
        )
        self._session = session

    def run(self, feeds: Tensors) -> dict[str, NDArray[Any]]:
        """Run once and return every output by name."""
        if self._session is None:
            message = "the session is closed"
            raise ValueError(message)
        return run_all(self._session, feeds)

    def close(self) -> None:
        """Let ONNX Runtime free its memory and threads."""
        self._session = None


def tensor_info(name: str, kind: str, shape: Sequence[Any]) -> TensorInfo:
    """Return what ONNX Runtime says of an input or output, such as ``tensor(float)``."""
    kind = kind.removeprefix("tensor(").removesuffix(")")
    try:
        dtype = np.dtype(_DTYPES.get(kind, kind))
    except TypeError:  # a sequence or a map
        dtype = np.dtype(object)
    return TensorInfo(name, dtype, tuple(size if isinstance(size, int) else None for size in shape))


def open_session(
    model: Path | bytes,
    *,
    threads: int = 1,
    optimize: bool = True,
    optimized_path: Path | None = None,
    profile_prefix: Path | None = None,
) -> Any:
    """Open a model in this process; see :func:`edgekd.board.sessions.open_session`.

    Raises:
        BuildError: If the model keeps weights outside of its folder, or ONNX Runtime refuses it; its own
            words are kept.
    """
    if isinstance(model, Path):
        external_data(model)
    try:
        return sessions.open_session(
            model if isinstance(model, bytes) else str(model),
            threads=threads,
            optimize=optimize,
            optimized_path=optimized_path,
            profile_prefix=profile_prefix,
        )
    except sessions.RuntimeRefusal as e:
        raise refused(str(e), sessions.runtime_version(), model) from e


def refused(words: str, version: str, model: Path | bytes) -> BuildError:
    """Return what to raise when ONNX Runtime does not open a model."""
    what = f"ONNX Runtime {version} refuses the model: {words}"
    fix = "give an ONNX file of standard operators; export it again, or with a lower opset"
    return BuildError(what, where="" if isinstance(model, bytes) else str(model), fix=fix)


def cannot_run(words: str, version: str) -> BuildError:
    """Return what to raise when a kernel refuses its inputs."""
    what = f"ONNX Runtime {version} cannot run the model: {words}"
    return BuildError(what, fix="look at the scales of the operator that is named: was the network trained?")


def run_all(session: Any, feeds: Tensors) -> dict[str, NDArray[Any]]:
    """Run once and return every output by name.

    Raises:
        BuildError: If a kernel refuses its inputs; ONNX Runtime's own words are kept.
    """
    try:
        return sessions.run_all(session, feeds)
    except sessions.RuntimeRefusal as e:
        raise cannot_run(str(e), sessions.runtime_version()) from e


class Here(Host):
    """ONNX Runtime in this process."""

    def runtime_version(self) -> str:
        """Return the version of the package that is installed."""
        return sessions.runtime_version()

    def saturates(self) -> bool:
        """Return whether this CPU's 8-bit dot product clips."""
        return sessions.saturates_byte_products()

    def open(self, model: Path | bytes, *, threads: int = 1, optimize: bool = True) -> Session:
        """Open a model in this process."""
        return OnnxRuntimeSession(model, threads=threads, optimize=optimize)

    def optimized(self, model: Path | bytes, *, threads: int = 1) -> bytes:
        """Have the optimised graph written, and read it."""
        with tempfile.TemporaryDirectory(prefix="edgekd-") as folder:
            path = Path(folder) / "optimized.onnx"
            open_session(whole(model), threads=threads, optimized_path=path)
            return path.read_bytes()

    def profile(self, model: bytes, feeds: Tensors, *, runs: int, threads: int = 1) -> list[dict[str, Any]]:
        """Have the profile written, and read it."""
        with tempfile.TemporaryDirectory(prefix="edgekd-") as folder:
            prefix = Path(folder) / "profile"
            session = open_session(model, threads=threads, optimize=False, profile_prefix=prefix)
            for _ in range(runs):
                run_all(session, feeds)
            events: list[dict[str, Any]] = json.loads(Path(session.end_profiling()).read_text())
        return events


HERE = Here()


def optimized_graph(model: Path | bytes, *, threads: int = 1, host: Host = HERE) -> onnx.ModelProto:
    """Return the graph that ONNX Runtime runs after its optimisations on the host.

    Raises:
        BuildError: If it is no graph, or one that reads files of this machine: a host may be anybody's.
    """
    serialized = host.optimized(model, threads=threads)
    try:
        graph = onnx.load_from_string(serialized)
    except Exception as e:  # whatever protobuf makes of what is no ONNX
        what = "the optimised graph is no ONNX"
        raise BuildError(what, fix="is the device the one that you mean? run the command again") from e
    if names := locations(graph):
        what = f"the optimised graph reads files: {', '.join(names)}"
        raise BuildError(what, fix="do not trust the device that it comes from")
    return graph


def whole(model: Path | bytes) -> Path | bytes:
    """Return a model that refers to no file beside it."""
    if not (isinstance(model, Path) and external_data(model)):
        return model
    try:
        return bytes(onnx.load(model).SerializeToString())
    except Exception as e:  # whatever onnx and protobuf make of data that are cut, or larger than 2 GiB
        what = f"the weights beside the model cannot be read: {' '.join(str(e).split())}"
        fix = "export it again; weights over 2 GiB do not fit"
        raise BuildError(what, where=str(model), fix=fix) from e


def node_times(
    optimized: onnx.ModelProto, feeds: Tensors, *, threads: int = 1, host: Host = HERE
) -> list[float]:
    """Return how many microseconds each operator of an optimised graph takes, by the runtime's own profile.

    Args:
        optimized: From :func:`optimized_graph`.
        feeds: The engine's inputs.
        threads: Threads of one inference.
        host: Where it runs.

    Returns:
        The mean of the middle half of ``PROFILED_RUNS`` runs by operator, finer than the profile's whole
        microseconds; 0 for one that the profile does not name.
    """
    named = onnx.ModelProto()
    named.CopyFrom(optimized)
    for index, node in enumerate(named.graph.node):
        node.name = f"node{index}"
    events = host.profile(named.SerializeToString(), feeds, runs=PROFILED_RUNS, threads=threads)
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


def tap_everything(
    optimized: onnx.ModelProto, feeds: Tensors, *, host: Host = HERE
) -> dict[str, NDArray[Any]]:
    """Run an optimised graph as it stands and return every tensor that it computes; no lists of tensors.

    Args:
        optimized: From :func:`optimized_graph`.
        feeds: The engine's inputs.
        host: Where it runs.
    """
    names = [name for node in optimized.graph.node for name in node.output if name]
    with host.open(tap(optimized, names), optimize=False) as session:
        values = session.run(feeds)
    return {name: value for name, value in values.items() if isinstance(value, np.ndarray)}
