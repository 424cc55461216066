"""Image classification data as the Hugging Face hub stores it: parquet files of encoded images."""

import hashlib
import io
import json
import re
from functools import cache, lru_cache
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray
from PIL import Image
from pydantic import Field

from edgekd.core.spec_base import json_digest
from edgekd.data.dataset import ColorOrder, DataInfo, DataSpec, Split, SplitName
from edgekd.data.paths import expand_data_path
from edgekd.errors import DataError

IMAGE_COLUMNS = ("img", "image")
FETCH_AGAIN = "the file is damaged or of another kind: fetch it again"


class ParquetSpec(DataSpec):
    """A folder with ``train-*.parquet`` and ``test-*.parquet``, or one that holds them in ``plain_text/``.

    The files have the columns ``img`` or ``image`` (a struct with ``bytes``) and ``label``; the class names
    are in the schema's ``huggingface`` metadata. All images have one size.

    Attributes:
        path: The folder; may start with ``$EDGEKD_DATA`` or ``~``.
        color_order: What every image is converted to.
        validation_samples: Rows taken out of train by a fixed permutation; 0 leaves validation empty.
        fetch: Command that fetches the data, shown when the folder is missing.
    """

    text_field = "path"

    kind: Literal["parquet"] = "parquet"
    path: str
    color_order: ColorOrder = "RGB"
    validation_samples: int = Field(default=0, ge=0)
    fetch: str = ""

    @property
    def digest(self) -> str:
        """Hex sha256 of the files' contents and of what is done with them; not of where they lie."""
        files = {part: [_sha256(file) for file in self._files(part)] for part in ("train", "test")}
        return json_digest({"spec": self.model_dump(mode="json", exclude={"path", "fetch"}), "files": files})

    def info(self) -> DataInfo:
        """Describe the images and classes from the first row of the first train file.

        Raises:
            DataError: If the folder is missing or that file is damaged.
        """
        return _info(self._files("train")[0], self.color_order)

    def split(self, name: SplitName) -> Split:
        """Return a split, decoded once per process.

        Raises:
            DataError: If a file is missing or holds a row that is damaged or does not fit the others.
        """
        if name == "test":
            return _decode(self._files("test"), self.info(), held_out=0)[0]
        train, validation = _decode(self._files("train"), self.info(), held_out=self.validation_samples)
        return train if name == "train" else validation

    def train_rows(self) -> int | None:
        """Return the rows of the train split, as the files state them; None if they cannot be read."""
        try:
            stored = sum(pq.read_metadata(file.path).num_rows for file in self._files("train"))
        except (OSError, pa.ArrowException):
            return None  # whoever decodes them says what is wrong
        return int(stored) - self.validation_samples

    def _files(self, part: Literal["train", "test"]) -> tuple["_File", ...]:
        fetch = (
            f"fetch the data: {self.fetch}" if self.fetch else "set data.path to the folder that holds them"
        )
        try:
            folder = expand_data_path(self.path)
        except DataError as e:
            raise DataError(e.what, where=f"data.path: {self.path}", fix=f"{e.fix}; then {fetch}") from e
        for candidate in (folder, folder / "plain_text"):
            paths = sorted(candidate.glob(f"{part}-*.parquet"))
            if paths:
                _check_complete(paths)
                return tuple(_File(path, path.stat().st_size, path.stat().st_mtime_ns) for path in paths)
        what = f"no {part}-*.parquet in {folder}"
        raise DataError(what, where=f"data.path: {self.path}", fix=fetch)


class _File(NamedTuple):
    """A file as it is now: the key of everything that is remembered about it."""

    path: Path
    size_bytes: int
    mtime_ns: int


def _check_complete(paths: list[Path]) -> None:
    match = re.search(r"-of-(\d+)", paths[0].name)
    if match and int(match[1]) != len(paths):
        what = f"found {len(paths)} of the {int(match[1])} files that {paths[0].name} belongs to"
        raise DataError(what, where=str(paths[0].parent), fix="fetch the data set again, it is incomplete")


@cache
def _sha256(file: _File) -> str:
    with file.path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


@lru_cache(maxsize=8)
def _info(file: _File, color_order: ColorOrder) -> DataInfo:
    encoded, _ = _read_rows(file.path)
    height, width, channels = _decode_image(encoded[0], color_order, where=f"{file.path}: row 0").shape
    return DataInfo(_class_names(file.path), height, width, channels, color_order, "none")


@lru_cache(maxsize=4)
def _decode(files: tuple[_File, ...], info: DataInfo, *, held_out: int) -> tuple[Split, Split]:
    """Return the rows kept and the rows held out, each in file order."""
    images, labels = [], []
    for path, _, _ in files:
        if _class_names(path) != info.class_names:
            what = "its class names are not those of the first train file"
            raise DataError(what, where=str(path), fix=FETCH_AGAIN)
        encoded, codes = _read_rows(path)
        images.append(_decode_images(encoded, info, path))
        labels.append(codes)
    everything = Split(np.concatenate(images), np.concatenate(labels))
    if held_out >= len(everything):
        what = f"validation_samples is {held_out}, but train has {len(everything)} rows"
        raise DataError(what, where=str(files[0].path.parent), fix="set data.validation_samples lower")
    rows = np.random.default_rng(0).permutation(len(everything))
    return everything.take(np.sort(rows[held_out:])), everything.take(np.sort(rows[:held_out]))


def _class_names(path: Path) -> tuple[str, ...]:
    try:
        features = json.loads(pq.read_schema(path).metadata[b"huggingface"])["info"]["features"]
        return tuple(features["label"]["names"])
    except (OSError, pa.ArrowException, TypeError, KeyError, ValueError) as e:
        what = "no class names for 'label' in the schema's huggingface metadata"
        raise DataError(what, where=str(path), fix=FETCH_AGAIN) from e


def _read_rows(path: Path) -> tuple[list[Any], NDArray[np.int64]]:
    """Return the encoded images (bytes; None where there are none) and the checked labels."""
    try:
        table = pq.read_table(path)
    except (OSError, pa.ArrowException) as e:
        what = f"not a readable parquet file: {e}"
        raise DataError(what, where=str(path), fix=FETCH_AGAIN) from e
    image_column = next((name for name in IMAGE_COLUMNS if name in table.column_names), None)
    if image_column is None or "label" not in table.column_names:
        what = f"needs the columns 'label' and 'img' or 'image', has {', '.join(table.column_names)}"
        raise DataError(what, where=str(path), fix="set data.path to an image classification data set")
    if table.num_rows == 0:
        what = "holds zero rows"
        raise DataError(what, where=str(path), fix=FETCH_AGAIN)
    if not pa.types.is_struct(table[image_column].type):
        what = f"column '{image_column}' is {table[image_column].type}, not a struct with 'bytes'"
        raise DataError(what, where=str(path), fix="store each image as {bytes, path}, as the hub does")
    encoded = [(row or {}).get("bytes") for row in table[image_column].to_pylist()]
    return encoded, _checked_labels(table["label"], len(_class_names(path)), path)


def _checked_labels(column: pa.ChunkedArray, classes: int, path: Path) -> NDArray[np.int64]:
    if not pa.types.is_integer(column.type):
        what = f"column 'label' is {column.type}, not an integer"
        raise DataError(what, where=str(path), fix="store class indices; the metadata names the classes")
    labels: NDArray[np.int64] = column.cast(pa.int64()).fill_null(-1).to_numpy()
    wrong = np.flatnonzero((labels < 0) | (labels >= classes))
    if len(wrong):
        row = int(wrong[0])
        what = f"label {column[row].as_py()} is outside 0..{classes - 1} ({len(wrong)} such rows)"
        raise DataError(what, where=f"{path}: row {row}", fix="label these rows or take them out")
    return labels


def _decode_images(encoded: list[Any], info: DataInfo, path: Path) -> NDArray[np.uint8]:
    shape = (info.height, info.width, info.channels)
    images = np.empty((len(encoded), *shape), np.uint8)
    for row, data in enumerate(encoded):
        where = f"{path}: row {row}"
        image = _decode_image(data, info.color_order, where=where)
        if image.shape != shape:
            what = f"image is {image.shape[1]}x{image.shape[0]}, the first one {info.width}x{info.height}"
            raise DataError(what, where=where, fix="bring all images to one size")
        images[row] = image
    return images


def _decode_image(data: bytes | None, color_order: ColorOrder, *, where: str) -> NDArray[np.uint8]:
    """Return the pixels, shape (height, width, channels)."""
    try:
        image = Image.open(io.BytesIO(data or b""))
        image.load()
    except Exception as e:  # Pillow's decoders raise OSError, SyntaxError, ValueError, struct.error and more
        what = f"image cannot be decoded: {e}"
        raise DataError(what, where=where, fix=FETCH_AGAIN) from e
    if image.mode.startswith(("I", "F")):
        what = f"image has mode {image.mode}, not 8 bits per channel"
        raise DataError(what, where=where, fix="store the images with 8 bits per channel")
    pixels = np.asarray(image.convert(color_order))
    return pixels.reshape(*pixels.shape[:2], -1)
