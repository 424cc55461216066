"""What a data set is to the rest of edgekd: uint8 images and their labels, in three splits."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from edgekd.core.spec_base import Spec
from edgekd.errors import DataError

ColorOrder = Literal["RGB", "L"]
SplitName = Literal["train", "validation", "test"]
SPLITS: tuple[SplitName, ...] = ("train", "validation", "test")


class StreamedImages:
    """Images that are read when they are indexed: what does not fit into memory.

    Looks like an array (n, height, width, channels) of uint8 where edgekd reads images.

    Args:
        read: Returns the images of some rows, uint8 (rows, height, width, channels).
        rows: Rows of the source, in the order of these images.
        shape: (height, width, channels).
    """

    dtype = np.dtype(np.uint8)
    ndim = 4

    def __init__(
        self,
        read: Callable[[NDArray[np.intp]], NDArray[np.uint8]],
        rows: NDArray[np.intp],
        shape: tuple[int, int, int],
    ) -> None:
        self.shape = (len(rows), *shape)
        self._read = read
        self._rows = rows

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, rows: int | slice | list[int] | NDArray[np.intp]) -> NDArray[np.uint8]:
        chosen = np.asarray(self._rows[rows])
        if chosen.ndim:
            return self._read(chosen)
        (image,) = self._read(chosen[np.newaxis])
        return np.asarray(image)

    def take(self, rows: NDArray[np.intp]) -> "StreamedImages":
        """Return these rows, in this order, still unread."""
        _, height, width, channels = self.shape
        return StreamedImages(self._read, self._rows[rows], (height, width, channels))


Images = NDArray[np.uint8] | StreamedImages
Labels = NDArray[np.int64] | NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Split:
    """The rows of one split. Arrays are read-only, because every caller gets the same ones.

    Attributes:
        images: Raw pixels 0..255, uint8, shape (n, height, width, channels); decoded or streamed.
        labels: Class indices, int64, shape (n,); or what a task of the user's makes of float32 (n, outputs).
    """

    images: Images
    labels: Labels

    def __post_init__(self) -> None:
        if self.images.dtype != np.uint8 or self.images.ndim != 4:
            what = f"images must be uint8 (n, height, width, channels), not {_describe(self.images)}"
            raise DataError(what)
        rank = {np.dtype(np.int64): 1, np.dtype(np.float32): 2}.get(self.labels.dtype)
        if rank != self.labels.ndim or len(self.labels) != len(self.images):
            n = len(self.images)
            what = f"labels must be int64 ({n},) or float32 ({n}, outputs), not {_describe(self.labels)}"
            raise DataError(what)
        for array in (self.images, self.labels):
            if isinstance(array, np.ndarray):
                array.flags.writeable = False

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, rows: NDArray[np.intp]) -> "Split":
        """Return a new split with these rows, in this order."""
        images = self.images
        taken = images.take(rows) if isinstance(images, StreamedImages) else images[rows]
        return Split(taken, self.labels[rows])


@dataclass(frozen=True)
class DataInfo:
    """What a user of the exported model has to know about its images.

    Attributes:
        class_names: Name of each class index, or of each output where labels are no classes.
        height: Image height in pixels.
        width: Image width in pixels.
        channels: 3 for ``"RGB"``, 1 for ``"L"`` (grey).
        color_order: Meaning of the channels.
        resize: How the images were brought to that size; ``"none"`` if they came in it.
    """

    class_names: tuple[str, ...]
    height: int
    width: int
    channels: int
    color_order: ColorOrder
    resize: str


class DataSpec(Spec, ABC):
    """A data set, as a pipeline file names it."""

    kind: str

    @abstractmethod
    def info(self) -> DataInfo:
        """Describe the images and classes without decoding the data set.

        Raises:
            DataError: If the data is missing or damaged.
        """

    @abstractmethod
    def split(self, name: SplitName) -> Split:
        """Return a split, decoded once per process, or streamed where it is too large for that.

        Raises:
            DataError: If the data is missing or damaged.
        """

    def train_rows(self) -> int | None:
        """Return the rows of the train split where that takes no decoding and no code of the user's."""
        return None


def _describe(array: NDArray[Any] | StreamedImages) -> str:
    return f"{array.dtype} {array.shape}"
