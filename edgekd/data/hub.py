"""Image classification data by its name on the Hugging Face hub, or from a local folder of parquet files."""

import hashlib
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from edgekd.core.optional import require
from edgekd.core.spec_base import json_digest
from edgekd.data.dataset import ColorOrder, DataInfo, Labels, Split, SplitName
from edgekd.data.decode import Encoded, ImageFormat, Resize, decode_images
from edgekd.data.fingerprint import remembered
from edgekd.data.own_data import OwnDataSpec, checked_labels
from edgekd.data.paths import expand_data_path
from edgekd.errors import DataError

_ROWS = 256


class HubSpec(OwnDataSpec):
    """A data set of the Hugging Face hub, fetched once by the package ``datasets``.

    Needs one column of images and one of class labels. Where the machine is offline, what was fetched before
    is found in the package's own cache; ``path`` may also be a local folder of parquet files.

    Attributes:
        path: Name on the hub, such as ``uoft-cs/cifar10``, or a folder; may start with ``$EDGEKD_DATA``.
        config: Configuration of the data set, where it has several.
        revision: Commit, tag or branch on the hub.
        train_split: Name of the split that is trained on.
        validation_split: Name of the validation split; empty takes it out of train.
        test_split: Name of the test split; empty takes it out of train.
        height: Height in pixels that every image is brought to.
        width: Width in pixels that every image is brought to.
        resize: ``crop`` scales the largest centred area of the target's shape, ``stretch`` the whole image;
            ``none`` takes images of that size alone.
        color_order: What every image is converted to.
    """

    text_field = "path"

    kind: Literal["hub"] = "hub"
    path: str = Field(min_length=1)
    config: str | None = None
    revision: str | None = None
    train_split: str = "train"
    validation_split: str = ""
    test_split: str = "test"
    height: int = Field(default=224, ge=1, le=4096)
    width: int = Field(default=224, ge=1, le=4096)
    resize: Resize = "crop"
    color_order: ColorOrder = "RGB"

    @classmethod
    def from_text(cls, text: str) -> dict[str, str]:
        """Return the fields that ``PATH`` stands for."""
        return {"path": text}

    @property
    def digest(self) -> str:
        """Hex sha256 of the images as stored, their labels and what is done with them; not of the name."""
        fields = self.model_dump(mode="json", exclude={"path", "config", "revision", "memory_bytes"})
        contents = {name: _digest(table) for name, table in self._tables().items()}
        return json_digest({"spec": fields, "contents": contents, "classes": self._columns()[2]})

    def info(self) -> DataInfo:
        """Describe the images and classes from the data set's features.

        Raises:
            DataError: If the data set cannot be had, or has no such columns.
            RuntimeMissing: If the package ``datasets`` is not installed.
        """
        height, width, channels = self._format.shape
        classes = self._columns()[2]
        return DataInfo(classes, height, width, channels, self.color_order, self._format.description)

    @property
    def _format(self) -> ImageFormat:
        return ImageFormat(self.height, self.width, self.color_order, self.resize)

    def given_splits(self) -> Mapping[SplitName, Split]:
        """Return the splits that the data set has.

        Raises:
            DataError: If an image is damaged or refused, or a label is missing.
        """
        tables = self._tables()
        rows = sum(len(table) for table in tables.values())
        stream = self.streams(rows * int(np.prod(self._format.shape)))
        return {name: self._split(name, table, stream) for name, table in tables.items()}

    def _split(self, name: SplitName, table: Any, stream: bool) -> Split:
        image, label, _ = self._columns()
        form, where = self._format, f"{self.path}, {name}"

        def encoded(row: int) -> Encoded:
            stored = table[row][image] or {}
            return Encoded(stored.get("bytes") or _path(stored.get("path")), f"{where}: row {row}")

        images = decode_images(
            encoded,
            len(table),
            form,
            stream=stream,
            identity=_digest(table),
            description=f"decode {name}",
        )
        return Split(images, checked_labels(_labels(table, label), images, where=where))

    def given_labels(self) -> dict[SplitName, Labels]:
        """Return the labels of the splits that the data set has."""
        return {name: _labels(table, self._columns()[1]) for name, table in self._tables().items()}

    def _columns(self) -> tuple[str, str, tuple[str, ...]]:
        """Return the names of the image and the label column, and the class names."""
        features = self._tables()["train"].features
        kinds = {name: type(feature).__name__ for name, feature in features.items()}
        images = [name for name, kind in kinds.items() if kind == "Image"]
        labels = [name for name, kind in kinds.items() if kind == "ClassLabel"]
        if not images or not labels:
            has = ", ".join(f"{name}: {kind}" for name, kind in kinds.items())
            what = f"needs a column of type Image and one of type ClassLabel, has {has}"
            raise DataError(
                what, where=f"data.path: {self.path}", fix="choose an image classification data set"
            )
        return images[0], labels[0], tuple(features[labels[0]].names)

    def _tables(self) -> dict[SplitName, Any]:
        wanted: dict[SplitName, str] = {
            "train": self.train_split,
            "validation": self.validation_split,
            "test": self.test_split,
        }
        found = _load(str(expand_data_path(self.path)), self.config, self.revision)
        for name, split in wanted.items():
            if split and split not in found:
                what = f"no split {split!r}; there are: {', '.join(found)}"
                fix = f"set data.{name}_split to one of them" + (", or to ''" if name != "train" else "")
                raise DataError(what, where=f"data.path: {self.path}", fix=fix)
        return {name: found[split] for name, split in wanted.items() if split}


def _labels(table: Any, column: str) -> NDArray[np.int64]:
    values = table.with_format("arrow")[column].to_numpy(zero_copy_only=False)
    labels: NDArray[np.int64] = np.nan_to_num(values, nan=-1).astype(np.int64)
    return labels


def _path(text: str | None) -> Path | None:
    return Path(text) if text else None


@lru_cache(maxsize=4)
def _load(path: str, config: str | None, revision: str | None) -> Any:
    datasets = require("datasets", package="datasets", extra="hub")
    try:
        found = datasets.load_dataset(path, config, revision=revision)
    except Exception as e:  # whatever the hub, the network or the package says
        what = f"the data set cannot be loaded: {' '.join(str(e).split())[:300]}"
        fix = "check the name and the network, or fetch it: hf download NAME --repo-type dataset"
        raise DataError(what, where=f"data.path: {path}", fix=fix) from e
    return datasets.DatasetDict(
        {
            name: table.cast(
                datasets.Features(
                    {
                        column: datasets.Image(decode=False)
                        if isinstance(feature, datasets.Image)
                        else feature
                        for column, feature in table.features.items()
                    }
                )
            )
            for name, table in found.items()
        }
    )


def _digest(table: Any) -> str:
    """Return the hex sha256 of every row, remembered by the package's own fingerprint of the table."""

    def compute() -> str:
        sha256 = hashlib.sha256()
        for start in range(0, len(table), _ROWS):
            for column, values in sorted(table[start : start + _ROWS].items()):
                sha256.update(column.encode())
                for value in values:
                    stored = value.get("bytes") if isinstance(value, dict) else str(value).encode()
                    sha256.update(hashlib.sha256(stored or b"").digest())
        return sha256.hexdigest()

    files = [Path(item["filename"]) for item in table.cache_files]
    stamps = [[file.name, file.stat().st_size, file.stat().st_mtime_ns] for file in files]
    return remembered(json_digest([str(table.split), len(table), stamps, table.column_names]), compute)
