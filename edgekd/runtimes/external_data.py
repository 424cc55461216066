"""Weights that an ONNX file keeps in other files: read from its own folder, and from nowhere else."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import onnx

from edgekd.errors import BuildError


def external_data(path: Path) -> tuple[Path, ...]:
    """Return the files in which an ONNX file keeps weights, sorted, after a look at where they lie.

    A file that is no ONNX has none: the runtime says what is wrong with it.

    Raises:
        BuildError: If one of them lies elsewhere, behind a symbolic link for example, or is missing.
    """
    try:
        model = onnx.load(path, load_external_data=False)
    except Exception:  # whatever protobuf makes of a file that is no ONNX
        return ()
    names = locations(model)
    for name in names:
        _check(path, name)
    return tuple(path.parent / name for name in names)


def file_bytes(path: Path) -> int:
    """Return the size of an ONNX file with the files that it keeps weights in.

    Raises:
        BuildError: See `external_data`.
    """
    return sum(file.stat().st_size for file in (path, *external_data(path)))


def locations(model: onnx.ModelProto) -> tuple[str, ...]:
    """Return the names of the files in which a model keeps weights, sorted."""
    return tuple(sorted({name for tensor in _tensors(model) for name in _locations(tensor)}))


def _check(path: Path, name: str) -> None:
    folder = path.parent.resolve()
    try:
        file = (path.parent / name).resolve()
        inside, there = folder in file.parents, file.is_file()
    except (OSError, ValueError):  # a name that no file can have
        inside, there = True, False
    if not inside:
        what = f"the model reads a file outside of its own folder: {name}"
        raise BuildError(
            what, where=str(path), fix="do not open it, unless you made it: it may read anything"
        )
    if not there:
        what = f"the model keeps weights in {name!r}, which is missing"
        raise BuildError(what, where=str(path), fix=f"put {name!r} into the folder of the model")


def _locations(tensor: onnx.TensorProto) -> list[str]:
    """Every one, should it name several: readers differ in which of them counts."""
    if tensor.data_location != onnx.TensorProto.EXTERNAL and not tensor.external_data:
        return []
    return [item.value for item in tensor.external_data if item.key == "location"] or [""]


def _tensors(message: Any) -> Iterator[onnx.TensorProto]:
    """Find every tensor within a protobuf message, wherever the format allows one."""
    if isinstance(message, onnx.TensorProto):
        yield message
        return
    for field, value in message.ListFields():
        if field.type == field.TYPE_MESSAGE:
            for part in [value] if hasattr(value, "ListFields") else value:
                yield from _tensors(part)


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
