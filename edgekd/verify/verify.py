"""The verb ``verify``: what a model file is, with proof."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgekd.data.dataset import DataSpec, Labels, StreamedImages
from edgekd.errors import DataError
from edgekd.lower.marked import MARKED, PROBES
from edgekd.runtimes.onnx_runtime_target import OnnxRuntimeTarget
from edgekd.runtimes.session import Session, TensorInfo, fitting
from edgekd.runtimes.stages import MODEL
from edgekd.runtimes.target import BuiltModel, TargetSpec
from edgekd.verify.preprocess import Preprocess
from edgekd.verify.verify_engine import Faithfulness, verify_feeds

RANDOM_PROBES = 8
RANDOM_SIDE = 64  # of images whose height and width are free
KNOWN_PROBES = 16
SCORED_AT_ONCE = 256


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
    images: NDArray[Any] | StreamedImages | None = None,
    labels: Labels | None = None,
    *,
    mean: Sequence[float] = (),
    std: Sequence[float] = (),
    target: TargetSpec | None = None,
) -> Verified:
    """Verify a folder that :func:`edgekd.export` wrote, or any ONNX file.

    A folder is checked layer by layer against the trained network as well; a bare file cannot be. Without
    images every input gets random values: a model with several inputs, or one that is no classifier, is
    looked into all the same.

    Args:
        model: The folder or the file.
        images: Inputs (n, ...) to score; also the probes of a bare file. Raw pixels, uint8 (n, h, w, c), also
            fit a model that takes (n, c, h, w), and one that takes floats if ``mean`` and ``std`` are given.
        labels: Right classes (n,).
        mean: What a float model's images are normalized with, per channel, as a fraction of 255.
        std: The same.
        target: The runtime; by default ONNX Runtime with one thread.

    Raises:
        BuildError: If the runtime refuses the model.
        DataError: If images and labels do not belong together, or do not fit the model.
    """
    path = Path(model)
    engine, marked = (path / MODEL, path / MARKED) if path.is_dir() else (path, None)
    built = BuiltModel(target or OnnxRuntimeTarget(), engine)
    with built.open() as session:
        feeds = {wanted.name: random_inputs(wanted, where=str(engine)) for wanted in session.inputs}
        top1, n = None, 0
        if images is not None:
            (wanted,) = _only_input(session, where=str(engine))
            preprocess = Preprocess.fitting(wanted, images, mean=mean, std=std, where=str(engine))
            feeds = {wanted.name: fitting(preprocess(images[:KNOWN_PROBES]), session.fixed_batch)}
            if labels is not None:
                top1, n = _score(session, images, labels, preprocess), len(labels)
        if marked is not None:
            probes = np.load(path / PROBES, allow_pickle=False)
            feeds = {session.inputs[0].name: fitting(probes, session.fixed_batch)}
    return Verified(verify_feeds(built, feeds, marked=marked), top1, n)


def sized_for(model: Path, data: DataSpec) -> DataSpec:
    """Return ``data`` with images of the size that a model takes, where nobody said another one.

    Args:
        model: An ONNX file, or a folder of :func:`edgekd.export`.
        data: A source that can resize has the fields height and width; others are returned as they are.
    """
    if not {"height", "width"} <= type(data).model_fields.keys() - data.model_fields_set:
        return data
    with OnnxRuntimeTarget().open(model / MODEL if model.is_dir() else model) as session:
        shape = session.inputs[0].shape if session.inputs else ()
    if len(shape) != 4:
        return data
    height, width, channels = shape[1:] if shape[3] in (1, 3) else (*shape[2:], shape[1])
    color_order = "L" if channels == 1 else "RGB"
    fields = {"height": height, "width": width, "color_order": color_order}
    return data.model_copy(update=fields) if height and width else data


def _only_input(session: Session, *, where: str) -> Sequence[TensorInfo]:
    if len(session.inputs) != 1:
        taken = ", ".join(f"{item.name}: {item.dtype}" for item in session.inputs) or "no input"
        what = f"the model takes {taken}: images cannot be scored"
        raise DataError(what, where=where, fix="leave the data out to look into it with random inputs")
    return session.inputs


def _score(
    session: Session, images: NDArray[Any] | StreamedImages, labels: Labels, preprocess: Preprocess
) -> float:
    if len(images) != len(labels) or not len(images):
        what = f"{len(images)} images and {len(labels)} labels"
        raise DataError(what, fix="give one label per image, and at least one image")
    right = 0
    for start in range(0, len(images), SCORED_AT_ONCE):
        outputs = session.predict(preprocess(images[start : start + SCORED_AT_ONCE]))
        if labels.ndim != 1 or outputs.ndim != 2 or outputs.shape[1] <= labels.max():
            what = (
                f"the model gives {session.outputs[0].name} {outputs.shape[1:]}, which is no score per class"
            )
            raise DataError(what, fix="score it with data of its classes, or leave the data out")
        right += int(np.sum(outputs.argmax(1) == labels[start : start + SCORED_AT_ONCE]))
    return right / len(labels)


def random_inputs(wanted: TensorInfo, *, seed: int = 0, where: str = "") -> NDArray[Any]:
    """Return random values of the shape and type that an input of a model takes.

    The first dimension is taken as 8 where it is free, height and width of images as 64, others as 1. Pixels
    are uniform, floats standard normal; integers, which mostly are indices, are 0.

    Raises:
        DataError: If the input is no tensor of numbers.
    """
    shape = [1 if size is None else size for size in wanted.shape]
    if len(shape) == 4:
        shape[1:] = [RANDOM_SIDE if size is None else size for size in wanted.shape[1:]]
    if wanted.shape and wanted.shape[0] is None:
        shape[0] = RANDOM_PROBES
    if wanted.dtype.kind not in "uifb":
        what = f"input {wanted.name} is {wanted.dtype}, not a tensor of numbers"
        raise DataError(what, where=where, fix="give a model whose inputs are tensors of numbers")
    rng = np.random.default_rng(seed)
    if wanted.dtype == np.uint8:
        return rng.integers(0, 256, shape, dtype=np.uint8)
    if wanted.dtype.kind == "f":
        return rng.standard_normal(shape).astype(wanted.dtype)
    return np.zeros(shape, wanted.dtype)
