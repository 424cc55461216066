"""Calibration manifests: which images a model was calibrated on, and proof that they are still the same.

A manifest names rows of the train split and the sha256 of each one's raw pixels. It holds no pixels and no
paths, so it can lie in a repository while the data does not.
"""

import hashlib
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from edgekd.core.spec_base import Spec, json_digest
from edgekd.data.dataset import DataSpec, Images, Labels
from edgekd.errors import DataError


class CalibrationManifest(Spec):
    """The content of a manifest file.

    Attributes:
        data_kind: ``kind`` of the data set.
        split: Always train: no other split may shape the model.
        image_shape: (height, width, channels) in pixels.
        samples: Row in the split -> hex sha256 of the row's uint8 pixels, rows ascending.
        sha256: Hex sha256 over all of the above.
    """

    version: Literal[1] = 1
    data_kind: str
    split: Literal["train"] = "train"
    image_shape: tuple[int, int, int]
    samples: dict[int, str]
    sha256: str = ""

    def content_sha256(self) -> str:
        """Compute what ``sha256`` has to be."""
        return json_digest(self.model_dump(mode="json", exclude={"sha256"}))


def write_manifest(path: Path, data: DataSpec, *, samples: int, seed: int) -> None:
    """Choose images at random, as evenly over the classes as they allow, and write their manifest.

    Args:
        path: JSON file to write.
        data: Data set to choose from; only its train split is read.
        samples: How many images, at least 1.
        seed: Seed of the choice.

    Raises:
        DataError: If the train split has fewer rows than that.
    """
    train = data.split("train")
    if not 1 <= samples <= len(train):
        what = f"cannot choose {samples} of {len(train)} train images"
        raise DataError(what, where=str(path), fix=f"ask for 1..{len(train)} samples")
    rows = _choose_balanced(train.labels, samples, seed)
    manifest = CalibrationManifest(
        data_kind=data.kind,
        image_shape=_image_shape(train.images),
        samples={int(row): _pixel_sha256(train.images[row]) for row in rows},
    )
    signed = manifest.model_copy(update={"sha256": manifest.content_sha256()})
    path.write_text(signed.model_dump_json(indent=1) + "\n", encoding="utf-8")


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
    images = data.split("train").images
    fix = "fetch the data it was written for, or write a new manifest for this data"
    shape = _image_shape(images)
    if (data.kind, shape) != (manifest.data_kind, manifest.image_shape):
        what = f"made for {manifest.data_kind} {manifest.image_shape}, but the data is {data.kind} {shape}"
        raise DataError(what, where=str(path), fix=fix)
    changed = [
        row
        for row, sha256 in manifest.samples.items()
        if not 0 <= row < len(images) or _pixel_sha256(images[row]) != sha256
    ]
    if changed:
        what = f"{len(changed)} of {len(manifest.samples)} images have changed, the first is row {changed[0]}"
        raise DataError(what, where=str(path), fix=fix)
    return images[list(manifest.samples)]


def read_manifest(path: Path) -> CalibrationManifest:
    """Return the manifest in a file.

    Raises:
        DataError: If it is missing, damaged or was changed after it was written.
    """
    fix = "write it again with edgekd.data.manifest.write_manifest"
    try:
        manifest = CalibrationManifest.model_validate_json(path.read_bytes())
    except OSError as e:
        what = f"the calibration manifest cannot be read: {e.strerror}"
        raise DataError(what, where=str(path), fix=fix) from e
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
    rank = np.empty(len(labels), np.intp)
    for label in np.unique(labels):
        same = labels[order] == label
        rank[same] = np.arange(same.sum())
    return np.sort(order[np.argsort(rank, kind="stable")[:samples]])


def _image_shape(images: Images) -> tuple[int, int, int]:
    _, height, width, channels = images.shape
    return height, width, channels


def _pixel_sha256(image: NDArray[np.uint8]) -> str:
    return hashlib.sha256(image.tobytes()).hexdigest()
