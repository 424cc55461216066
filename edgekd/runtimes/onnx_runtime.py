"""ONNX Runtime on the CPU: the graph that really runs, and every tensor in it."""

import statistics
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from edgekd.board import sessions
from edgekd.board.runtime import RuntimeRefusal
from edgekd.errors import BuildError
from edgekd.runtimes.external_data import external_data, locations
from edgekd.runtimes.here import HERE
from edgekd.runtimes.host import ONNX_RUNTIME, Host, cannot_run, refused
from edgekd.runtimes.session import Tensors

PROFILED_RUNS = 15


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
    except RuntimeRefusal as e:
        raise refused(str(e), ONNX_RUNTIME, sessions.runtime_version(), model) from e


def run_all(session: Any, feeds: Tensors) -> dict[str, NDArray[Any]]:
    """Run once and return every output by name.

    Raises:
        BuildError: If a kernel refuses its inputs; ONNX Runtime's own words are kept.
    """
    try:
        return sessions.run_all(session, feeds)
    except RuntimeRefusal as e:
        raise cannot_run(str(e), ONNX_RUNTIME, sessions.runtime_version()) from e


def optimized_graph(model: Path | bytes, *, threads: int = 1, host: Host = HERE) -> onnx.ModelProto:
    """Return the graph that ONNX Runtime runs after its optimisations on the host.

    Raises:
        BuildError: If it is no graph, or one that reads files of this machine: a host may be anybody's.
    """
    serialized = host.shown(model, threads=threads)
    try:
        graph = onnx.load_from_string(serialized)
    except Exception as e:  # whatever protobuf makes of what is no ONNX
        what = "the optimised graph is no ONNX"
        raise BuildError(what, fix="is the device the one that you mean? run the command again") from e
    if names := locations(graph):
        what = f"the optimised graph reads files: {', '.join(names)}"
        raise BuildError(what, fix="do not trust the device that it comes from")
    return graph


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
    kernels = host.profile(
        named.SerializeToString(), feeds, runs=PROFILED_RUNS, threads=threads, optimize=False
    )
    times = mean_times(kernels)
    return [times.get(node.name, 0.0) for node in named.graph.node]


def mean_times(ran: Iterable[tuple[str, float]]) -> dict[str, float]:
    """Return the mean of the middle half of what a profile says of each operator, in its unit."""
    times: dict[str, list[float]] = {}
    for name, microseconds in ran:
        times.setdefault(name, []).append(microseconds)
    return {name: _middle_mean(values) for name, values in times.items()}


def _middle_mean(values: Sequence[float]) -> float:
    quarter = len(values) // 4
    return statistics.fmean(sorted(values)[quarter : len(values) - quarter])


def tap(model: onnx.ModelProto, tensors: Sequence[str], *, elem_type: int = 0) -> bytes:
    """Return the serialized model with ``tensors`` as additional outputs.

    Args:
        model: It stays as it is.
        tensors: Their names.
        elem_type: Their type, as TensorProto numbers it, for a runtime that does not infer it.
    """
    tapped = onnx.ModelProto()
    tapped.CopyFrom(model)
    present = {output.name for output in tapped.graph.output}
    for name in tensors:
        if name not in present:
            output = tapped.graph.output.add(name=name)
            if elem_type:
                output.type.tensor_type.elem_type = elem_type
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
