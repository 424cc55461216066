"""The verb ``verify``: what a model file is, with proof."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from edgekd.errors import DataError
from edgekd.lower.marked import MARKED, PROBES
from edgekd.runtimes.onnx_runtime import open_session, predict
from edgekd.runtimes.stages import MODEL
from edgekd.verify.verify_engine import Faithfulness, verify_graph

RANDOM_PROBES = 8

_TYPES = {"tensor(uint8)": np.uint8, "tensor(float)": np.float32}


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
    threads: int = 1,
) -> Verified:
    """Verify a folder that :func:`edgekd.export` wrote, or any ONNX file.

    A folder is checked layer by layer against the trained network as well; a bare file cannot be.

    Args:
        model: The folder or the file.
        images: Inputs (n, ...) to score; also the probes of a bare file.
        labels: Right classes (n,).
        threads: Threads of one inference.

    Raises:
        BuildError: If the runtime refuses the model.
        DataError: If images and labels do not belong together, or do not fit the model.
    """
    path = Path(model)
    engine, marked = (path / MODEL, path / MARKED) if path.is_dir() else (path, None)
    session = open_session(engine, threads=threads)
    _check_input(session, images, where=str(engine))
    if marked is not None:
        probes = np.load(path / PROBES, allow_pickle=False)
    else:
        probes = images[:16] if images is not None else random_inputs(engine)
    top1, n = None, 0
    if images is not None and labels is not None:
        if len(images) != len(labels) or not len(images):
            what = f"{len(images)} images and {len(labels)} labels"
            raise DataError(what, fix="give one label per image, and at least one image")
        top1 = float(np.mean(predict(session, images).argmax(1) == labels))
        n = len(labels)
    return Verified(verify_graph(engine, probes, marked=marked, threads=threads), top1, n)


def _check_input(session: ort.InferenceSession, images: NDArray[Any] | None, *, where: str) -> None:
    inputs = session.get_inputs()
    if len(inputs) != 1 or inputs[0].type not in _TYPES:
        taken = ", ".join(f"{item.name}: {item.type}" for item in inputs) or "no input"
        what = f"the model takes {taken}"
        raise DataError(what, where=where, fix="give a model with one input, uint8 or float32")
    if images is None:
        return
    shape = inputs[0].shape
    fits = len(shape) == images.ndim and all(
        wanted == given or not isinstance(wanted, int)
        for wanted, given in zip(shape[1:], images.shape[1:], strict=True)
    )
    if not fits or images.dtype != _TYPES[inputs[0].type]:
        what = f"the model takes {inputs[0].type} {shape}, the data are {images.dtype} {images.shape}"
        raise DataError(what, where=where, fix="give the data that the model was made for")


def random_inputs(model: Path, *, seed: int = 0) -> NDArray[Any]:
    """Return random inputs (n, ...) of the shape and type that a model's first input takes.

    Free dimensions are taken as 1, the first as 8. Pixels are uniform, floats standard normal.
    """
    first = open_session(model).get_inputs()[0]
    shape = [size if isinstance(size, int) else 1 for size in first.shape]
    if first.shape and not isinstance(first.shape[0], int):
        shape[0] = RANDOM_PROBES
    rng = np.random.default_rng(seed)
    if first.type == "tensor(uint8)":
        return rng.integers(0, 256, shape, dtype=np.uint8)
    return rng.standard_normal(shape).astype(np.float32)
