"""Weights that an ONNX file keeps in other files: read from its own folder, and from nowhere else."""

from collections.abc import Iterator
from pathlib import Path

import onnx

from edgekd.errors import BuildError


def check_external_data(path: Path) -> bool:
    """Return whether an ONNX file keeps weights in other files, after a look at where they lie.

    A file that is no ONNX has none: the runtime says what is wrong with it.

    Raises:
        BuildError: If one of them lies elsewhere, behind a symbolic link for example, or is missing.
    """
    try:
        model = onnx.load(path, load_external_data=False)
    except Exception:  # whatever protobuf makes of a file that is no ONNX
        return False
    names = {location for tensor in _tensors(model) if (location := _location(tensor)) is not None}
    for name in sorted(names):
        _check(path, name)
    return bool(names)


def _check(path: Path, name: str) -> None:
    folder, file = path.parent.resolve(), (path.parent / name).resolve()
    if folder not in file.parents:
        what = f"the model reads a file outside of its own folder: {name}"
        raise BuildError(
            what, where=str(path), fix="do not open it, unless you made it: it may read anything"
        )
    if not file.is_file():
        what = f"the model keeps weights in {name}, which is missing"
        raise BuildError(what, where=str(path), fix=f"put {name} into the folder of the model")


def _location(tensor: onnx.TensorProto) -> str | None:
    if tensor.data_location != onnx.TensorProto.EXTERNAL:
        return None
    return next((item.value for item in tensor.external_data if item.key == "location"), "")


def _tensors(model: onnx.ModelProto) -> Iterator[onnx.TensorProto]:
    yield from _graph_tensors(model.graph)
    for function in model.functions:
        for node in function.node:
            yield from _node_tensors(node)


def _graph_tensors(graph: onnx.GraphProto) -> Iterator[onnx.TensorProto]:
    yield from graph.initializer
    for sparse in graph.sparse_initializer:
        yield from (sparse.values, sparse.indices)
    for node in graph.node:
        yield from _node_tensors(node)


def _node_tensors(node: onnx.NodeProto) -> Iterator[onnx.TensorProto]:
    for attribute in node.attribute:
        yield from (attribute.t, *attribute.tensors)
        for graph in (attribute.g, *attribute.graphs):
            yield from _graph_tensors(graph)
