"""What a data set is to the rest of edgekd: uint8 images and integer labels, in three splits."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from edgekd.core.spec_base import Spec
from edgekd.errors import DataError

ColorOrder = Literal["RGB", "L"]
SplitName = Literal["train", "validation", "test"]


@dataclass(frozen=True, eq=False)
class Split:
    """The rows of one split. Both arrays are read-only, because every caller gets the same ones.

    Attributes:
        images: Raw pixels 0..255, uint8, shape (n, height, width, channels).
        labels: Class indices, int64, shape (n,).
    """

    images: NDArray[np.uint8]
    labels: NDArray[np.int64]

    def __post_init__(self) -> None:
        if self.images.dtype != np.uint8 or self.images.ndim != 4:
            what = f"images must be uint8 (n, height, width, channels), not {_describe(self.images)}"
            raise DataError(what)
        if self.labels.dtype != np.int64 or self.labels.shape != self.images.shape[:1]:
            what = f"labels must be int64 ({len(self.images)},), not {_describe(self.labels)}"
            raise DataError(what)
        self.images.flags.writeable = False
        self.labels.flags.writeable = False

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, rows: NDArray[np.intp]) -> "Split":
        """Return a new split with these rows, in this order."""
        return Split(self.images[rows], self.labels[rows])


@dataclass(frozen=True)
class DataInfo:
    """What a user of the exported model has to know about its images.

    Attributes:
        class_names: Name of each class index.
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
        """Return a split, decoded once per process.

        Raises:
            DataError: If the data is missing or damaged.
        """


def _describe(array: NDArray[np.generic]) -> str:
    return f"{array.dtype} {array.shape}"
