"""The verb ``verify``: what a model file is, with proof."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgekd.core.machine import memory_bytes
from edgekd.data.dataset import DataSpec, Labels, StreamedImages
from edgekd.errors import BuildError, DataError
from edgekd.lower.marked import MARKED, PROBES
from edgekd.runtimes.host import ONNX_RUNTIME
from edgekd.runtimes.onnx_runtime_target import OnnxRuntimeTarget
from edgekd.runtimes.random_inputs import MOST_PROBE_VALUES, FreeSizes, random_feeds
from edgekd.runtimes.session import Session, fitting
from edgekd.runtimes.stages import MODEL
from edgekd.runtimes.target import BuiltModel, TargetSpec
from edgekd.runtimes.targets import runnable
from edgekd.runtimes.tensorrt_target import QdqInFloat
from edgekd.verify.preprocess import Preprocess
from edgekd.verify.verify_engine import SCORED_AT_ONCE, Faithfulness, verify_feeds

KNOWN_PROBES = 16


@dataclass(frozen=True)
class Verified:
    """What was found.

    Attributes:
        faithfulness: Integer coverage, oracle and layers.
        top1: Fraction of right answers, 0..1; None where there is nothing to score or nothing to score with.
        n: Samples behind ``top1``.
        not_scored: Why images were given and ``top1`` is None all the same.
        agreement: Fraction of the scored images to which a runtime with an arithmetic of its own answers as
            the file's Q/DQ graph does in float; None for others, and where nothing is scored.
        not_run: Why the runtime was not run: then all of this is of the file's Q/DQ graph in float.
    """

    faithfulness: Faithfulness
    top1: float | None = None
    n: int = 0
    not_scored: str = ""
    agreement: float | None = None
    not_run: str = ""

    @property
    def compares_nothing(self) -> bool:
        """Whether no number of the model was compared with anything."""
        return self.top1 is None and not self.faithfulness.oracle.values and not self.faithfulness.layers


def verify(
    model: str | Path,
    images: NDArray[Any] | StreamedImages | None = None,
    labels: Labels | None = None,
    *,
    classes: int | None = None,
    mean: Sequence[float] = (),
    std: Sequence[float] = (),
    target: TargetSpec | None = None,
    free_sizes: FreeSizes = FreeSizes(),  # noqa: B008  it is frozen
) -> Verified:
    """Verify a folder that :func:`edgekd.export` or ``edgekd compress`` wrote, or any ONNX file.

    A folder of :func:`edgekd.export` is checked layer by layer against the trained network as well; a bare
    file cannot be. Without images every input gets random values: a model with several inputs, or one that
    is no classifier, is looked into all the same.

    Args:
        model: The folder or the file.
        images: Inputs (n, ...) to score; also the probes of a bare file. Raw pixels, uint8 (n, h, w, c), also
            fit a model that takes (n, c, h, w), and one that takes floats if ``mean`` and ``std`` are given.
        labels: Right classes (n,).
        classes: How many there are, where the labels need not show all.
        mean: What a float model's images are normalized with, per channel, as a fraction of 255.
        std: The same.
        target: The runtime; by default ONNX Runtime with one thread.
        free_sizes: Of random values, where the model leaves sizes free.

    Raises:
        BuildError: If the runtime refuses the model.
        DataError: If images and labels do not belong together, or do not fit the model.
    """
    with TemporaryDirectory(prefix="edgekd-") as scratch:
        runtime = target or OnnxRuntimeTarget()
        engine = model_file(Path(model), kind=runtime.kind)
        built = runnable(runtime, engine, Path(scratch) / "engine")
        found = _verified(Path(model), built, images, labels, classes, mean, std, free_sizes)
        return found if built.target is runtime else replace(found, not_run=runtime.readiness().not_run)


def _verified(
    path: Path,
    built: BuiltModel,
    images: NDArray[Any] | StreamedImages | None,
    labels: Labels | None,
    classes: int | None,
    mean: Sequence[float],
    std: Sequence[float],
    free_sizes: FreeSizes,
) -> Verified:
    engine = built.source or built.path
    marked = path / MARKED if path.is_dir() and (path / MARKED).exists() else None
    known = Verified(Faithfulness())
    with built.open() as session:
        feeds = random_feeds(session.inputs, free_sizes, where=str(engine))
        if images is not None:
            reason = _why_not_scored(session, images, mean)
            if reason:
                known = replace(known, not_scored=reason)
            else:
                (wanted,) = session.inputs
                preprocess = Preprocess.fitting(wanted, images, mean=mean, std=std, where=str(engine))
                feeds = {wanted.name: fitting(preprocess(_probes(images)), session.fixed_batch)}
                if labels is not None:
                    known = _scored(session, images, labels, classes, preprocess, in_float=_in_float(built))
        if marked is not None:
            probes = np.load(path / PROBES, allow_pickle=False)
            feeds = {session.inputs[0].name: fitting(probes, session.fixed_batch)}
    return replace(known, faithfulness=verify_feeds(built, feeds, marked=marked))


def model_file(path: Path, *, kind: str = ONNX_RUNTIME) -> Path:
    """Return the model that a person means: the file itself, or that of a folder of edgekd's.

    Args:
        path: The file or the folder.
        kind: The runtime whose engine is meant, where a folder holds those of several.

    Raises:
        BuildError: If there is no such file, or a folder holds none, or several for this runtime alone.
    """
    if not path.is_dir():
        if not path.is_file() or path.stat().st_size > memory_bytes():
            what = "it is no file that fits into memory" if path.exists() else f"no such file: {path}"
            raise BuildError(what, where=str(path), fix="give an ONNX file, or a folder of edgekd's")
        return path
    held = [path / MODEL] if (path / MODEL).exists() else sorted(path.glob("model.*.onnx"))
    if not held:
        what, fix = "the folder holds no model", "give an ONNX file, a folder of edgekd.export, or a run's"
        raise BuildError(what, where=str(path), fix=fix)
    ours = re.compile(rf"model\.{kind}(_\d+)?\.onnx")
    found = held if len(held) == 1 else [engine for engine in held if ours.fullmatch(engine.name)]
    if len(found) != 1:
        names = ", ".join(engine.name for engine in found or held)
        what = f"the folder holds {'several engines' if found else 'no engine'} for {kind}: {names}"
        fix = "name one of the files, or another --target"
        raise BuildError(what, where=str(path), fix=fix)
    return found[0]


def sized_for(model: Path, data: DataSpec) -> DataSpec:
    """Return ``data`` with images of the size that a model takes, where nobody said another one.

    Args:
        model: An ONNX file, or a folder that `model_file` takes.
        data: A source that can resize has the fields height and width; others are returned as they are.
    """
    if not {"height", "width"} <= type(data).model_fields.keys() - data.model_fields_set:
        return data
    with OnnxRuntimeTarget().open(model_file(model)) as session:
        shape = session.inputs[0].shape if session.inputs else ()
    if len(shape) != 4:
        return data
    height, width, channels = shape[1:] if shape[3] in (1, 3) else (*shape[2:], shape[1])
    color_order = "L" if channels == 1 else "RGB"
    fields = {"height": height, "width": width, "color_order": color_order}
    return data.model_copy(update=fields) if height and width else data


def _why_not_scored(session: Session, images: NDArray[Any] | StreamedImages, mean: Sequence[float]) -> str:
    """Say what is not known of a model that pixels would have to go into; empty if nothing is missing."""
    if len(session.inputs) != 1:
        taken = ", ".join(f"{item.name}: {item.dtype}" for item in session.inputs) or "no input"
        return f"the model takes {taken}, not images alone"
    (wanted,) = session.inputs
    if images.dtype == np.uint8 and wanted.dtype.kind == "f" and not mean:
        return (
            "the model takes float images, and nobody said which: add --mean and --std, fractions of 255 "
            "(0 and 1 for 0..1, 0.5 and 0.5 for -1..1, 0 and 0.00392157 for 0..255; one per channel)"
        )
    return ""


def _probes(images: NDArray[Any] | StreamedImages) -> NDArray[Any]:
    per_image = max(1, int(np.prod(images.shape[1:])))
    return images[: max(1, min(KNOWN_PROBES, MOST_PROBE_VALUES // per_image))]


def _scored(
    session: Session,
    images: NDArray[Any] | StreamedImages,
    labels: Labels,
    classes: int | None,
    preprocess: Preprocess,
    *,
    in_float: BuiltModel | None,
) -> Verified:
    if len(images) != len(labels) or not len(images):
        what = f"{len(images)} images and {len(labels)} labels"
        raise DataError(what, fix="give one label per image, and at least one image")
    nothing = Verified(Faithfulness())
    if labels.ndim != 1:
        return replace(nothing, not_scored="the labels are numbers to predict, not classes")
    wanted = int(labels.max()) + 1 if classes is None else classes
    probe = {session.inputs[0].name: fitting(preprocess(images[:1]), session.fixed_batch)}
    outputs = session.run(probe)
    scores = [
        name for name, value in outputs.items() if _is_score(value, wanted, exactly=classes is not None)
    ]
    if len(scores) != 1:
        shapes = ", ".join(f"{name} {getattr(value, 'shape', '')}" for name, value in outputs.items())
        which = "none is" if not scores else "more than one is"
        reason = f"the model gives {shapes}: {which} one score for each of {wanted} classes"
        return replace(nothing, not_scored=reason)
    answers = _answers(session, images, preprocess, scores[0])
    scored = replace(nothing, top1=float(np.mean(answers == labels)), n=len(labels))
    if in_float is None:
        return scored
    with in_float.open() as reference:
        expected = _answers(reference, images, preprocess, scores[0])
    return replace(scored, agreement=float(np.mean(answers == expected)))


def _answers(
    session: Session, images: NDArray[Any] | StreamedImages, preprocess: Preprocess, output: str
) -> NDArray[np.int64]:
    batches = (images[start : start + SCORED_AT_ONCE] for start in range(0, len(images), SCORED_AT_ONCE))
    return np.concatenate([session.predict(preprocess(batch), output=output).argmax(1) for batch in batches])


def _in_float(built: BuiltModel) -> BuiltModel | None:
    """Return what says how an engine whose codes need not be exact should answer; None for any other."""
    file = built.source or built.path
    if built.target.tolerance is None or isinstance(built.target, QdqInFloat) or file.suffix != ".onnx":
        return None
    return BuiltModel(QdqInFloat(), file)


def _is_score(value: object, classes: int, *, exactly: bool) -> bool:
    if not isinstance(value, np.ndarray) or value.ndim != 2 or value.dtype.kind not in "fiu":
        return False
    return bool(value.shape[1] == classes or (value.shape[1] > classes and not exactly))
