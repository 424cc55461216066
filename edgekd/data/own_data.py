"""What data sources of the user's own have in common: checks, and splits that are taken out of train."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from edgekd.core.machine import memory_bytes
from edgekd.data.dataset import DataInfo, DataSpec, Images, Labels, Split, SplitName
from edgekd.errors import DataError

_MEMORY_SHARE = 4


class OwnDataSpec(DataSpec, ABC):
    """A data set that the user brings.

    Attributes:
        test_fraction: Share of the rows that becomes test where the source has no test split; 0..1.
        validation_fraction: Share of the remaining train rows that becomes validation where the source has
            none; 0..1. Both are drawn once and for all, class by class.
        memory_bytes: Decoded images up to this many bytes stay in memory; larger sets are decoded batch by
            batch. Without it, a quarter of the machine's memory.
    """

    test_fraction: float = Field(default=0.2, ge=0, lt=1)
    validation_fraction: float = Field(default=0.1, ge=0, lt=1)
    memory_bytes: int | None = Field(default=None, ge=0)

    def split(self, name: SplitName) -> Split:
        """Return a split, decoded once per process, or streamed where the set is too large for that.

        Raises:
            DataError: If the data is missing, damaged or not what it has to be.
        """
        return _splits(_Identity(f"{self.digest} {self.model_dump_json()}", self))[name]

    def train_rows(self) -> int | None:
        """Return the rows of the train split, without those that are taken out of it."""
        labels = self.given_labels()
        return None if labels is None else len(_divided(self, labels)["train"])

    def given_labels(self) -> Mapping[SplitName, Labels] | None:
        """Return the labels of the splits that the source has; None if they come with decoded images only."""
        return None

    @abstractmethod
    def given_splits(self) -> Mapping[SplitName, Split]:
        """Return the splits that the source has; train at least."""

    def streams(self, decoded_bytes: int) -> bool:
        """Whether so many bytes of pixels are too many to keep."""
        limit = memory_bytes() // _MEMORY_SHARE if self.memory_bytes is None else self.memory_bytes
        return decoded_bytes > limit


@dataclass(frozen=True)
class _Identity:
    key: str
    spec: OwnDataSpec = field(compare=False)


@lru_cache(maxsize=4)
def _splits(identity: _Identity) -> dict[SplitName, Split]:
    spec = identity.spec
    given, info = dict(spec.given_splits()), spec.info()
    for name, split in given.items():
        check_labels(split.labels, info, where=f"data, {name}")
    rows = _divided(spec, {name: split.labels for name, split in given.items()})
    train = given.pop("train")
    splits = {
        name: train.take(chosen) if len(chosen) < len(train) else train for name, chosen in rows.items()
    }
    splits |= given
    for name in ("train", "test"):
        _check_enough(splits[name], info, name)
    return splits


def _divided(spec: OwnDataSpec, given: Mapping[SplitName, Labels]) -> dict[SplitName, NDArray[np.intp]]:
    """Return the rows of train that each split gets; ``given`` are the labels of what the source has."""
    return held_out_rows(
        given["train"],
        test_fraction=0 if "test" in given else spec.test_fraction,
        validation_fraction=0 if "validation" in given else spec.validation_fraction,
    )


def _check_enough(split: Split, info: DataInfo, name: SplitName) -> None:
    if len(split) == 0:
        what = f"the {name} split has no images"
        fix = "add images, or set data.test_fraction to more than 0"
        raise DataError(what, where=f"data, {name}", fix=fix)
    if name == "train" and split.labels.ndim == 1 and len(np.unique(split.labels)) < 2:
        only = info.class_names[int(split.labels[0])]
        what = f"all {len(split)} train images are of one class: {only}"
        raise DataError(what, where="data, train", fix="a classifier needs images of two classes at least")


def held_out_rows(
    labels: Labels, *, test_fraction: float, validation_fraction: float
) -> dict[SplitName, NDArray[np.intp]]:
    """Divide rows among the splits by a fixed permutation, class by class where labels are classes.

    Args:
        labels: Of all rows.
        test_fraction: Share of the rows of each class.
        validation_fraction: Share of each class's rows that are not test.

    Returns:
        Rows of each split, ascending.
    """
    generator = np.random.default_rng(0)
    classes = labels if labels.ndim == 1 else np.zeros(len(labels), np.int64)
    parts: dict[SplitName, list[NDArray[np.intp]]] = {"train": [], "validation": [], "test": []}
    for label in np.unique(classes):
        rows = generator.permutation(np.flatnonzero(classes == label))
        tests = round(test_fraction * len(rows))
        validations = round(validation_fraction * (len(rows) - tests))
        parts["test"].append(rows[:tests])
        parts["validation"].append(rows[tests : tests + validations])
        parts["train"].append(rows[tests + validations :])
    empty = [np.zeros(0, np.intp)]
    return {name: np.sort(np.concatenate(chosen or empty)) for name, chosen in parts.items()}


def checked_images(images: NDArray[np.generic], *, where: str) -> NDArray[np.uint8]:
    """Return images as uint8 (n, height, width, channels); grey ones may come without channels.

    Raises:
        DataError: If they are of another type or shape, or none.
    """
    if images.dtype != np.uint8:
        what = f"images are {images.dtype}, not raw pixels (uint8, 0..255)"
        fix = "store the pixels before any normalization; 0..1 becomes (255 * x).round().astype('uint8')"
        raise DataError(what, where=where, fix=fix)
    pixels: NDArray[np.uint8] = images.view()  # type: ignore[assignment]
    if pixels.ndim == 3:
        pixels = pixels[..., np.newaxis]
    if pixels.ndim != 4 or pixels.shape[3] not in (1, 3):
        what = f"images have the shape {images.shape}, not (n, height, width) or (n, height, width, 1 or 3)"
        raise DataError(what, where=where, fix="put the channels last: x.transpose(0, 2, 3, 1)")
    if 0 in pixels.shape:
        what = f"images have the shape {images.shape}: nothing is in them"
        raise DataError(what, where=where, fix="leave the split out, or store its images")
    return pixels


def checked_labels(labels: NDArray[np.generic], images: Images, *, where: str) -> Labels:
    """Return labels as int64 (n,), or as float32 (n, outputs) where they are numbers to predict.

    Raises:
        DataError: If they are of another type or shape, not one per image, or not finite.
    """
    if len(labels.shape) == 0 or len(labels) != len(images):
        what = f"{len(images)} images, but labels of shape {labels.shape}"
        raise DataError(what, where=where, fix="give one label per image")
    if np.issubdtype(labels.dtype, np.integer) and labels.size == len(labels):
        return np.array(labels, np.int64).reshape(-1)
    if not np.issubdtype(labels.dtype, np.floating) or labels.ndim > 2:
        what = f"labels are {labels.dtype} {labels.shape}"
        fix = "give class indices (n,), or floats (n, outputs) for a task of your own"
        raise DataError(what, where=where, fix=fix)
    values = np.array(labels, np.float32).reshape(len(labels), -1)
    wrong = np.flatnonzero(~np.isfinite(values).all(axis=1))
    if len(wrong):
        what = f"the label of row {wrong[0]} is not a finite number ({len(wrong)} such rows)"
        raise DataError(what, where=where, fix="label these rows or take them out")
    return values


def check_labels(labels: Labels, info: DataInfo, *, where: str) -> None:
    """Refuse labels that no class name, or no output, stands for.

    Raises:
        DataError: If a class index is out of range, or there are more or fewer outputs than names.
    """
    classes = len(info.class_names)
    if labels.ndim == 2:
        if labels.shape[1] != classes:
            what = f"labels have {labels.shape[1]} numbers each, but {classes} outputs have names"
            raise DataError(what, where=where, fix="set data.class_names to one name per output")
        return
    wrong = np.flatnonzero((labels < 0) | (labels >= classes))
    if len(wrong):
        row = int(wrong[0])
        what = f"label {labels[row]} of row {row} is outside 0..{classes - 1} ({len(wrong)} such rows)"
        fix = "label these rows or take them out, or set data.class_names to all classes"
        raise DataError(what, where=where, fix=fix)
