"""Calibration manifests: which images a model was calibrated on, and proof that they are still the same.

A manifest names rows of the train split and the sha256 of each one's raw pixels. It holds no pixels and no
paths, so it can lie in a repository while the data does not.
"""

import hashlib
from collections.abc import Iterable
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from edgekd.core.atomic import write_text
from edgekd.core.spec_base import Spec, json_digest
from edgekd.data.dataset import DataInfo, DataSpec, Images, Labels
from edgekd.errors import DataError


class CalibrationManifest(Spec):
    """The content of a manifest file.

    Attributes:
        data_kind: ``kind`` of the data set.
        split: Always train: no other split may shape the model.
        image_shape: (height, width, channels) in pixels.
        samples: Row in the split -> hex sha256 of the row's uint8 pixels, rows ascending.
        preprocess: Hex sha256 of how images come to their size and colours; null in older files.
        class_counts: Class index -> samples of it; null in older files, and where labels are no classes.
        sha256: Hex sha256 over all of the above that is not null.
    """

    version: Literal[1] = 1
    data_kind: str
    split: Literal["train"] = "train"
    image_shape: tuple[int, int, int]
    samples: dict[int, str]
    preprocess: str | None = None
    class_counts: dict[int, int] | None = None
    sha256: str = ""

    def content_sha256(self) -> str:
        """Compute what ``sha256`` has to be."""
        return json_digest(self.model_dump(mode="json", exclude={"sha256"}, exclude_none=True))


def write_manifest(path: Path, data: DataSpec, *, samples: int, seed: int) -> CalibrationManifest:
    """Choose images at random, as evenly over the classes as they allow, and write their manifest.

    Args:
        path: JSON file to write.
        data: Data set to choose from; only its train split is read.
        samples: How many images, at least 1.
        seed: Seed of the choice.

    Returns:
        What was written.

    Raises:
        DataError: If the train split has fewer rows than that.
    """
    train = data.split("train")
    if not 1 <= samples <= len(train):
        what = f"cannot choose {samples} samples: the train split has {len(train)} images"
        raise DataError(what, where=str(path), fix=f"ask for 1..{len(train)} samples")
    rows = _choose_balanced(train.labels, samples, seed)
    manifest = CalibrationManifest(
        data_kind=data.kind,
        image_shape=_image_shape(train.images),
        samples={int(row): _pixel_sha256(train.images[row]) for row in rows},
        preprocess=_preprocess(data.info()),
        class_counts=_class_counts(train.labels, rows),
    )
    signed = manifest.model_copy(update={"sha256": manifest.content_sha256()})
    path.parent.mkdir(parents=True, exist_ok=True)
    write_text(path, signed.model_dump_json(indent=1, exclude_none=True) + "\n")
    return signed


def load_calibration(path: Path, data: DataSpec) -> NDArray[np.uint8]:
    """Return the images that a manifest names, after checking the sha256 of each.

    Args:
        path: A file of `write_manifest`.
        data: The data set that it was written for.

    Returns:
        Raw pixels, uint8, shape (n, height, width, channels).

    Raises:
        DataError: If the manifest is missing or damaged, or was written for other data.
    """
    manifest = read_manifest(path)
    difference = first_difference(manifest, data)
    if difference:
        fix = "fetch the data it was written for, or write a new manifest: edgekd calibrate SPEC --force"
        raise DataError(difference, where=str(path), fix=fix)
    return data.split("train").images[list(manifest.samples)]


def first_difference(manifest: CalibrationManifest, data: DataSpec) -> str:
    """Say what of the data is not as a manifest has it; empty if everything is."""
    train, info = data.split("train"), data.info()
    shape = _image_shape(train.images)
    if (data.kind, shape) != (manifest.data_kind, manifest.image_shape):
        return f"made for {manifest.data_kind} {manifest.image_shape}, but the data is {data.kind} {shape}"
    if manifest.preprocess not in (None, _preprocess(info)):
        return f"made for other preprocessing than now: resize {info.resize!r}, colours {info.color_order}"
    changed = [
        row
        for row, sha256 in manifest.samples.items()
        if not 0 <= row < len(train) or _pixel_sha256(train.images[row]) != sha256
    ]
    if changed:
        return f"{len(changed)} of {len(manifest.samples)} images have changed, the first is row {changed[0]}"
    counts = _class_counts(train.labels, manifest.samples)
    if manifest.class_counts not in (None, counts):
        return f"labels have changed: samples by class were {manifest.class_counts}, now {counts}"
    return ""


def class_balance(manifest: CalibrationManifest, data: DataSpec) -> dict[str, int]:
    """Return the samples of each class by its name; empty where labels are no classes."""
    labels, names = data.split("train").labels, data.info().class_names
    there = [row for row in manifest.samples if 0 <= row < len(labels)]
    counts = _class_counts(labels, there) or {}
    return {names[label]: count for label, count in counts.items()}


def read_manifest(path: Path) -> CalibrationManifest:
    """Return the manifest in a file.

    Raises:
        DataError: If it is missing, damaged or was changed after it was written.
    """
    fix = "write it with edgekd calibrate SPEC --force"
    try:
        manifest = CalibrationManifest.model_validate_json(path.read_bytes())
    except OSError as e:
        what = f"the calibration manifest cannot be read: {e.strerror}"
        raise DataError(what, where=str(path), fix="write it with edgekd calibrate SPEC") from e
    except ValidationError as e:
        what = f"not a calibration manifest: {e.errors()[0]['msg']}"
        raise DataError(what, where=str(path), fix=fix) from e
    if manifest.sha256 != manifest.content_sha256():
        what = "the calibration manifest was changed after it was written"
        raise DataError(what, where=str(path), fix=fix)
    return manifest


def _choose_balanced(labels: Labels, samples: int, seed: int) -> NDArray[np.intp]:
    """Return rows, ascending: the first of every class in shuffled order, then the second of every class."""
    order = np.random.default_rng(seed).permutation(len(labels))
    if labels.ndim > 1:  # numbers to predict
        return np.sort(order[:samples])
    rank = np.empty(len(labels), np.intp)
    for label in np.unique(labels):
        same = labels[order] == label
        rank[same] = np.arange(same.sum())
    return np.sort(order[np.argsort(rank, kind="stable")[:samples]])


def _class_counts(labels: Labels, rows: Iterable[int]) -> dict[int, int] | None:
    if labels.ndim > 1:
        return None
    classes, counts = np.unique(labels[list(rows)], return_counts=True)
    return dict(zip(classes.tolist(), counts.tolist(), strict=True))


def _preprocess(info: DataInfo) -> str:
    return json_digest([info.height, info.width, info.channels, info.color_order, info.resize])


def _image_shape(images: Images) -> tuple[int, int, int]:
    _, height, width, channels = images.shape
    return height, width, channels


def _pixel_sha256(image: NDArray[np.uint8]) -> str:
    return hashlib.sha256(image.tobytes()).hexdigest()
