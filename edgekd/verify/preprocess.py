"""From raw pixels to what a foreign model takes: layout and normalization."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgekd.data.dataset import StreamedImages
from edgekd.errors import DataError
from edgekd.runtimes.session import TensorInfo


@dataclass(frozen=True)
class Preprocess:
    """How images become a model's input.

    Attributes:
        channels_first: Whether (n, h, w, c) becomes (n, c, h, w).
        mean: Per channel, as a fraction of 255; empty leaves the pixels as they are.
        std: The same.
        dtype: Of the floats that normalized pixels become.
    """

    channels_first: bool = False
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()
    dtype: np.dtype[Any] = field(default_factory=lambda: np.dtype(np.float32))

    @classmethod
    def fitting(
        cls,
        wanted: TensorInfo,
        images: NDArray[Any] | StreamedImages,
        *,
        mean: Sequence[float],
        std: Sequence[float],
        where: str,
    ) -> "Preprocess":
        """Return what makes ``images`` fit, the same images where they do already.

        Args:
            wanted: The model's input.
            images: uint8 (n, h, w, c), or just what the model takes.
            mean: What a float model's images are normalized with.
            std: The same.
            where: The model, for the message.

        Raises:
            DataError: If nothing does.
        """
        n, *size = images.shape
        normalized = images.dtype == np.uint8 and wanted.dtype.kind == "f"
        first = len(size) == 3 and _fits(wanted, (n, size[2], size[0], size[1]))
        last = _fits(wanted, images.shape)
        if not (first or last) or not (normalized or images.dtype == wanted.dtype):
            shape = ", ".join("any" if item is None else str(item) for item in wanted.shape)
            what = (
                f"the model takes {wanted.dtype} ({shape}), the data are {images.dtype} {tuple(images.shape)}"
            )
            fix = "give the data that the model was made for, in its size; --data takes a pipeline file, too"
            raise DataError(what, where=where, fix=fix)
        channels_first = first and (normalized or not last)
        if not normalized:
            return cls(channels_first)
        if not len(mean) == len(std) == size[-1] or min(std) <= 0:
            what = f"the model takes float images: mean {tuple(mean)} and std {tuple(std)} do not say which"
            fix = "give one fraction of 255 per channel: --mean 0.485,0.456,0.406 --std 0.229,0.224,0.225"
            raise DataError(what, where=where, fix=fix)
        return cls(channels_first, tuple(mean), tuple(std), wanted.dtype)

    def __call__(self, images: NDArray[Any]) -> NDArray[Any]:
        """Return the model's input for some images."""
        if self.mean:
            mean, std = np.array(self.mean, np.float32), np.array(self.std, np.float32)
            images = ((images.astype(np.float32) / np.float32(255) - mean) / std).astype(
                self.dtype, copy=False
            )
        return np.ascontiguousarray(images.transpose(0, 3, 1, 2)) if self.channels_first else images


def _fits(wanted: TensorInfo, shape: Sequence[int]) -> bool:
    """Whether all but the number of images agree."""
    return len(wanted.shape) == len(shape) and all(
        size in (None, given) for size, given in zip(wanted.shape[1:], shape[1:], strict=True)
    )
