"""The verb ``verify``: what a model file is, with proof."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgekd.errors import DataError
from edgekd.lower.marked import MARKED, PROBES
from edgekd.runtimes.onnx_runtime_target import OnnxRuntimeTarget
from edgekd.runtimes.session import Session, TensorInfo
from edgekd.runtimes.stages import MODEL
from edgekd.runtimes.target import BuiltModel, TargetSpec
from edgekd.verify.verify_engine import Faithfulness, verify_graph

RANDOM_PROBES = 8
KNOWN_PROBES = 16

_TYPES = ("uint8", "float32")


@dataclass(frozen=True)
class Verified:
    """What was found.

    Attributes:
        faithfulness: Integer coverage, oracle and layers.
        top1: Fraction of right answers, 0..1; None without labels.
        n: Samples behind ``top1``.
    """

    faithfulness: Faithfulness
    top1: float | None
    n: int


def verify(
    model: str | Path,
    images: NDArray[Any] | None = None,
    labels: NDArray[np.int64] | None = None,
    *,
    target: TargetSpec | None = None,
) -> Verified:
    """Verify a folder that :func:`edgekd.export` wrote, or any ONNX file.

    A folder is checked layer by layer against the trained network as well; a bare file cannot be.

    Args:
        model: The folder or the file.
        images: Inputs (n, ...) to score; also the probes of a bare file.
        labels: Right classes (n,).
        target: The runtime; by default ONNX Runtime with one thread.

    Raises:
        BuildError: If the runtime refuses the model.
        DataError: If images and labels do not belong together, or do not fit the model.
    """
    path = Path(model)
    engine, marked = (path / MODEL, path / MARKED) if path.is_dir() else (path, None)
    built = BuiltModel(target or OnnxRuntimeTarget(), engine)
    with built.open() as session:
        _check_input(session, images, where=str(engine))
        if marked is not None:
            probes = np.load(path / PROBES, allow_pickle=False)
        else:
            probes = images[:KNOWN_PROBES] if images is not None else random_inputs(session.inputs[0])
        top1, n = _score(session, images, labels)
    return Verified(verify_graph(built, probes, marked=marked), top1, n)


def _score(
    session: Session, images: NDArray[Any] | None, labels: NDArray[np.int64] | None
) -> tuple[float | None, int]:
    if images is None or labels is None:
        return None, 0
    if len(images) != len(labels) or not len(images):
        what = f"{len(images)} images and {len(labels)} labels"
        raise DataError(what, fix="give one label per image, and at least one image")
    return float(np.mean(session.predict(images).argmax(1) == labels)), len(labels)


def _check_input(session: Session, images: NDArray[Any] | None, *, where: str) -> None:
    if len(session.inputs) != 1 or str(session.inputs[0].dtype) not in _TYPES:
        taken = ", ".join(f"{item.name}: {item.dtype}" for item in session.inputs) or "no input"
        what = f"the model takes {taken}"
        raise DataError(what, where=where, fix="give a model with one input, uint8 or float32")
    if images is None:
        return
    (wanted,) = session.inputs
    fits = len(wanted.shape) == images.ndim and all(
        size in (None, given) for size, given in zip(wanted.shape[1:], images.shape[1:], strict=True)
    )
    if not fits or images.dtype != wanted.dtype:
        shape = ", ".join("any" if size is None else str(size) for size in wanted.shape)
        what = f"the model takes {wanted.dtype} ({shape}), the data are {images.dtype} {images.shape}"
        raise DataError(what, where=where, fix="give the data that the model was made for")


def random_inputs(wanted: TensorInfo, *, seed: int = 0) -> NDArray[Any]:
    """Return random inputs (n, ...) of the shape and type that a model takes.

    Free dimensions are taken as 1, the first as 8. Pixels are uniform, floats standard normal.
    """
    shape = [1 if size is None else size for size in wanted.shape]
    if wanted.shape and wanted.shape[0] is None:
        shape[0] = RANDOM_PROBES
    rng = np.random.default_rng(seed)
    if wanted.dtype == np.uint8:
        return rng.integers(0, 256, shape, dtype=np.uint8)
    return rng.standard_normal(shape).astype(np.float32)
