"""Images and labels as numpy files."""

import zipfile
import zlib
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, BinaryIO, Literal

import numpy as np
from numpy.lib.npyio import NpzFile
from numpy.typing import NDArray
from pydantic import field_validator

from edgekd.core.machine import memory_bytes
from edgekd.core.spec_base import json_digest
from edgekd.data.dataset import DataInfo, Images, Labels, Split, SplitName, StreamedImages
from edgekd.data.fingerprint import DataFile, content_digest
from edgekd.data.own_data import OwnDataSpec, checked_images, checked_labels
from edgekd.data.paths import expand_data_path
from edgekd.errors import DataError

NAMES: dict[SplitName, tuple[str, ...]] = {
    "train": ("train",),
    "validation": ("validation", "val", "valid"),
    "test": ("test",),
}


class ArraysSpec(OwnDataSpec):
    """Numpy arrays ``x_train``, ``y_train``, ``x_test``, ...: an .npz file, or a folder of .npy files.

    Images are uint8 (n, height, width, 1 or 3) or (n, height, width); labels are class indices, or floats
    (n, outputs) for a task of your own. Files of a folder are mapped into memory, not read. Arrays of
    objects are refused: reading them could run code.

    Attributes:
        path: The file or the folder; may start with ``$EDGEKD_DATA`` or ``~``.
        class_names: One per class, or per output; without them ``0``, ``1``, ...
    """

    text_field = "path"

    kind: Literal["arrays"] = "arrays"
    path: str
    class_names: tuple[str, ...] = ()

    @field_validator("class_names")
    @classmethod
    def _differ(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        if len(set(names)) < len(names):
            msg = "two class names are the same: give each class its own"
            raise ValueError(msg)
        return names

    @classmethod
    def from_text(cls, text: str) -> dict[str, str]:
        """Return the fields that ``PATH`` stands for."""
        return {"path": text}

    @property
    def digest(self) -> str:
        """Hex sha256 of the files' contents and what is done with them; not of where they lie."""
        fields = self.model_dump(mode="json", exclude={"path", "memory_bytes"})
        return json_digest({"spec": fields, "files": content_digest(self._files())})

    def info(self) -> DataInfo:
        """Describe the images from the shape of ``x_train`` and the classes from ``y_train``.

        Raises:
            DataError: If the arrays are missing or are not what they have to be.
        """
        arrays = _load(self._files())
        images, labels = _pair(arrays, "train", self.path)
        _, height, width, channels = images.shape
        count = labels.shape[1] if labels.ndim == 2 else int(labels.max()) + 1
        names = self.class_names or tuple(str(index) for index in range(count))
        return DataInfo(names, height, width, channels, "RGB" if channels == 3 else "L", "none")

    def given_splits(self) -> Mapping[SplitName, Split]:
        """Return the splits that have arrays.

        Raises:
            DataError: If an array is not what it has to be, or its images are of another size.
        """
        arrays = _load(self._files())
        pairs = {split: _pair(arrays, split, self.path) for split in NAMES if _key(arrays, "x", split)}
        shape = pairs["train"][0].shape[1:]
        for split, (images, _) in pairs.items():
            if images.shape[1:] != shape:
                what = f"{split} images are {images.shape[1:]}, train images are {shape}"
                raise DataError(what, where=f"data.path: {self.path}", fix="bring all images to one size")
        stream = self.streams(sum(images.size for images, _ in pairs.values()))
        return {split: Split(_kept(images, stream), labels) for split, (images, labels) in pairs.items()}

    def given_labels(self) -> dict[SplitName, Labels]:
        """Return the labels of the splits that have arrays."""
        arrays = _load(self._files())
        return {split: _pair(arrays, split, self.path)[1] for split in NAMES if _key(arrays, "x", split)}

    def _files(self) -> tuple[DataFile, ...]:
        where, fix = (
            f"data.path: {self.path}",
            "give an .npz file, or a folder with x_train.npy and y_train.npy",
        )
        try:
            path = expand_data_path(self.path)
        except DataError as e:
            raise DataError(e.what, where=where, fix=e.fix) from e
        if path.is_dir():
            known = {f"{letter}_{name}.npy" for names in NAMES.values() for name in names for letter in "xy"}
            files = tuple(
                DataFile.at(item, item.name) for item in sorted(path.iterdir()) if item.name in known
            )
        elif path.suffix == ".npz":
            files = (DataFile.at(path, "arrays.npz"),)
        else:
            files = ()
        if not files:
            what = f"no numpy arrays in {path}" if path.exists() else f"no such file or folder: {path}"
            raise DataError(what, where=where, fix=fix)
        return files


def _kept(images: NDArray[np.uint8], stream: bool) -> Images:
    """Read mapped images into memory, or leave them where they are."""
    if not stream:
        return np.array(images)
    n, height, width, channels = images.shape
    return StreamedImages(lambda rows: np.array(images[rows]), np.arange(n), (height, width, channels))


def _key(arrays: Mapping[str, NDArray[Any]], letter: str, split: SplitName) -> str | None:
    return next((key for name in NAMES[split] if (key := f"{letter}_{name}") in arrays), None)


def _pair(
    arrays: Mapping[str, NDArray[Any]], split: SplitName, path: str
) -> tuple[NDArray[np.uint8], Labels]:
    x, y = _key(arrays, "x", split), _key(arrays, "y", split)
    if x is None or y is None:
        missing = f"{'x' if x is None else 'y'}_{split}"
        what = f"no array {missing!r}; there are: {', '.join(sorted(arrays)) or 'none'}"
        raise DataError(what, where=f"data.path: {path}", fix=f"store it under the name {missing}")
    images = checked_images(arrays[x], where=f"{path}: {x}")
    return images, checked_labels(arrays[y], images, where=f"{path}: {y}")


def _archive(stream: BinaryIO) -> NpzFile:
    found = np.load(stream, allow_pickle=False)
    if not isinstance(found, NpzFile):
        msg = "it is no archive of arrays"
        raise ValueError(msg)  # noqa: TRY004  numpy's own for a damaged file
    return found


def _check_unpacked(archive: NpzFile, where: str) -> None:
    size = sum(item.file_size for item in archive.zip.infolist()) if archive.zip is not None else 0
    if size > memory_bytes():
        what = f"the arrays unpack to {size / 1e9:.0f} GB, more than this machine's memory"
        raise DataError(
            what, where=where, fix="store them as .npy files in a folder: those are mapped, not read"
        )


@lru_cache(maxsize=4)
def _load(files: tuple[DataFile, ...]) -> dict[str, NDArray[Any]]:
    """Return the arrays by name: those of .npy files mapped into memory, those of an .npz file read."""
    arrays: dict[str, NDArray[Any]] = {}
    for file in files:
        try:
            if file.path.suffix == ".npy":
                arrays[file.path.stem] = np.load(file.path, mmap_mode="r", allow_pickle=False)
            else:
                with file.path.open("rb") as stream, _archive(stream) as found:
                    _check_unpacked(found, str(file.path))
                    arrays |= {name: found[name] for name in found.files if name.startswith(("x_", "y_"))}
        except (OSError, ValueError, EOFError, MemoryError, zipfile.BadZipFile, zlib.error) as e:
            what = f"not readable as numpy arrays: {' '.join(str(e).split())}"
            fix = "store it with numpy.save or numpy.savez, without objects"
            raise DataError(what, where=str(file.path), fix=fix) from e
    return arrays
