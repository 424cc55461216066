"""Image files in class folders: the layout of most people's own data."""

import os
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from edgekd.core.spec_base import json_digest
from edgekd.data.dataset import SPLITS, ColorOrder, DataInfo, Images, Split, SplitName
from edgekd.data.decode import Encoded, ImageFormat, Resize, decode_images
from edgekd.data.fingerprint import DataFile, content_digest
from edgekd.data.own_data import OwnDataSpec
from edgekd.data.paths import expand_data_path
from edgekd.errors import DataError

SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".webp"})
FOLDERS: dict[SplitName, tuple[str, ...]] = {
    "train": ("train",),
    "validation": ("validation", "val", "valid"),
    "test": ("test",),
}
SPLIT_FOLDERS = "train/, validation/ (or val/, valid/) and test/"


class ImageFolderSpec(OwnDataSpec):
    """A folder of JPEG, PNG, BMP and WebP files: one folder per class.

    The class folders lie in ``train/``, ``validation/`` (or ``val/``, ``valid/``) and ``test/``; or in the
    folder itself, and then validation and test are taken out of all images. Folders within a class
    folder count as part of it. Names that start with a dot and other files are left alone.

    Attributes:
        path: The folder; may start with ``$EDGEKD_DATA`` or ``~``.
        height: Height in pixels that every image is brought to.
        width: Width in pixels that every image is brought to.
        resize: ``crop`` scales the largest centred area of the target's shape, ``stretch`` the whole image;
            ``none`` takes images of that size alone.
        color_order: What every image is converted to.
    """

    text_field = "path"

    kind: Literal["image_folder"] = "image_folder"
    path: str
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
        """Hex sha256 of names and contents of all files and what is done with them; not of where they lie."""
        fields = self.model_dump(mode="json", exclude={"path", "memory_bytes"})
        return json_digest({"spec": fields, "files": content_digest(self._found().files)})

    @property
    def _format(self) -> ImageFormat:
        return ImageFormat(self.height, self.width, self.color_order, self.resize)

    def info(self) -> DataInfo:
        """Describe the images and classes from the names of the folders.

        Raises:
            DataError: If the folder is missing or a class folder is empty.
        """
        height, width, channels = self._format.shape
        classes = self._found().classes
        return DataInfo(classes, height, width, channels, self.color_order, self._format.description)

    def given_splits(self) -> Mapping[SplitName, Split]:
        """Return the splits that have folders, or all images as train.

        Raises:
            DataError: If an image is damaged or refused.
        """
        found, form, labels = self._found(), self._format, self.given_labels()
        stream = self.streams(len(found.files) * int(np.prod(form.shape)))
        return {
            name: Split(
                _images(tuple(found.files[row] for row in rows), form, stream, f"decode {name}"),
                labels[name],
            )
            for name, rows in found.rows.items()
        }

    def given_labels(self) -> dict[SplitName, NDArray[np.int64]]:
        """Return the labels of the splits that have folders, from the folders' names."""
        found = self._found()
        return {
            name: np.array([found.labels[row] for row in rows], np.int64) for name, rows in found.rows.items()
        }

    def files(self) -> tuple[Path, ...]:
        """Return every image file, sorted by name."""
        return tuple(file.path for file in self._found().files)

    def _found(self) -> "_Found":
        try:
            folder = expand_data_path(self.path)
        except DataError as e:
            raise DataError(e.what, where=f"data.path: {self.path}", fix=e.fix) from e
        return _find(folder, tuple(_scan(folder)))


class _Found(NamedTuple):
    """The images of a folder; ``rows`` are those of each split that has a folder, or all as train."""

    classes: tuple[str, ...]
    files: tuple[DataFile, ...]
    labels: tuple[int, ...]
    rows: dict[SplitName, list[int]]


def _images(files: tuple[DataFile, ...], form: ImageFormat, stream: bool, description: str) -> Images:
    def encoded(row: int) -> Encoded:
        return Encoded(files[row].path, str(files[row].path))

    identity = content_digest(files)
    return decode_images(encoded, len(files), form, stream=stream, identity=identity, description=description)


def _scan(folder: Path) -> list[DataFile]:
    """Return every image of every class folder, sorted by name.

    Raises:
        DataError: If there is no such folder, or a class folder has no image.
    """
    found = []
    for class_folder in _class_folders(folder):
        images = list(_images_below(class_folder))
        if not images:
            what = f"the class folder {class_folder} has no image{_other_files(class_folder)}"
            fix = f"put images into it ({', '.join(sorted(SUFFIXES))}), or remove the folder"
            raise DataError(what, where=str(class_folder), fix=fix)
        found += [DataFile.at(path, path.relative_to(folder).as_posix()) for path in images]
    return sorted(found)


def _class_folders(folder: Path) -> list[Path]:
    if not folder.is_dir():
        what = f"no such folder: {folder}"
        raise DataError(what, where=f"data.path: {folder}", fix="set data.path to the folder of your images")
    _refuse_misread_splits(folder)
    parts = [folder / name for names in FOLDERS.values() for name in names if (folder / name).is_dir()]
    if not (folder / "train").is_dir():
        parts = [folder]
    folders = [item for part in parts for item in sorted(part.iterdir()) if _is_class_folder(item)]
    if not folders:
        what = f"no class folder in {parts[0]}"
        fix = f"make one folder per class, here or in {SPLIT_FOLDERS}; its name is the class"
        raise DataError(what, where=f"data.path: {folder}", fix=fix)
    return folders


def _refuse_misread_splits(folder: Path) -> None:
    """Refuse folders called like a split that would count as a class or be left out."""
    known = {name for names in FOLDERS.values() for name in names}
    divided = (folder / "train").is_dir()
    for item in sorted(folder.iterdir()):
        misspelt = item.name not in known
        if item.name.lower() in known and (misspelt or not divided) and item.is_dir():
            reason = "split folders are in lower case" if misspelt else "there is no train/ beside it"
            what = f"the folder {item.name}/ is called like a split, but is not read as one: {reason}"
            fix = f"name the splits {SPLIT_FOLDERS}; if it is a class, put all class folders into train/"
            raise DataError(what, where=str(item), fix=fix)


def _is_class_folder(item: Path) -> bool:
    return item.is_dir() and not item.name.startswith((".", "__"))


def _images_below(folder: Path) -> list[Path]:
    return sorted(
        Path(place, name)
        for place, _, names in os.walk(folder)
        for name in names
        if Path(name).suffix.lower() in SUFFIXES and not name.startswith(".")
    )


def _other_files(folder: Path) -> str:
    names = sorted(item.name for item in folder.iterdir() if item.is_file())
    return f", only {', '.join(names[:3])}" if names else ""


@lru_cache(maxsize=4)
def _find(folder: Path, files: tuple[DataFile, ...]) -> _Found:
    """Read classes and splits from the names of the files."""
    split_of = {name: split for split in SPLITS for name in FOLDERS[split]}
    divided = (folder / "train").is_dir()
    places = [file.name.split("/") for file in files]
    splits: list[SplitName] = [split_of[place[0]] if divided else "train" for place in places]
    names = [place[1] if divided else place[0] for place in places]
    classes = tuple(sorted({name for name, split in zip(names, splits, strict=True) if split == "train"}))
    unknown = sorted(set(names) - set(classes))
    if unknown:
        where = next(file for file, name in zip(files, names, strict=True) if name == unknown[0]).path
        what = f"class {unknown[0]!r} has no folder in train/"
        raise DataError(what, where=str(where.parent), fix="add train images of it, or remove it here")
    if len(classes) < 2:
        what = f"only one class: {classes[0]}" if classes else "no class folder in train/"
        raise DataError(
            what, where=f"data.path: {folder}", fix="a classifier needs two class folders at least"
        )
    index = {name: label for label, name in enumerate(classes)}
    rows: dict[SplitName, list[int]] = {}
    for row, split in enumerate(splits):
        rows.setdefault(split, []).append(row)
    return _Found(classes, files, tuple(index[name] for name in names), rows)
