"""The 1 797 handwritten digits that ship with scikit-learn: real data without a download.

Source: Alpaydin and Kaynak 1998, *Optical Recognition of Handwritten Digits*, UCI Machine Learning
Repository (its test set, as scikit-learn ships it), 8x8 grey images with values 0..16.
"""

from functools import cache
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from pydantic import Field

from edgekd.core.optional import require
from edgekd.data.dataset import DataInfo, DataSpec, Split, SplitName
from edgekd.data.own_data import held_out_rows

TEST_FRACTION = 0.25
VALIDATION_FRACTION = 0.1  # of the rows that are not test


class DigitsSpec(DataSpec):
    """Handwritten digits, grey, upsampled; 1 797 images in a fixed stratified split.

    Attributes:
        image_size: Height and width in pixels that the 8x8 images are upsampled to.
    """

    kind: Literal["digits"] = "digits"
    image_size: int = Field(default=32, ge=8, le=256)

    def info(self) -> DataInfo:
        """Describe the images and the ten classes."""
        names = tuple(str(digit) for digit in range(10))
        size = self.image_size
        return DataInfo(names, size, size, 1, "L", f"bilinear, 8x8 to {size}x{size}")

    def split(self, name: SplitName) -> Split:
        """Return a split: 25 % of the rows are test, 10 % of the rest validation.

        Raises:
            RuntimeMissing: If scikit-learn is not installed.
        """
        return _digits(self.image_size)[name]

    def train_rows(self) -> int:
        """Return the rows of the train split."""
        return len(self.split("train"))


@cache
def _digits(image_size: int) -> dict[SplitName, Split]:
    digits = require("sklearn.datasets", package="scikit-learn", extra="train").load_digits()
    codes = np.rint(digits.images * 255 / 16).astype(np.uint8)
    images = np.stack([_upsample(image, image_size) for image in codes])[..., np.newaxis]
    everything = Split(images, digits.target.astype(np.int64))
    rows = held_out_rows(
        everything.labels, test_fraction=TEST_FRACTION, validation_fraction=VALIDATION_FRACTION
    )
    return {name: everything.take(chosen) for name, chosen in rows.items()}


def _upsample(image: NDArray[np.uint8], size: int) -> NDArray[np.uint8]:
    return np.asarray(Image.fromarray(image).resize((size, size), Image.Resampling.BILINEAR))
