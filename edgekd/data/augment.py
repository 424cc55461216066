"""Random shifts, mirroring and erasing of uint8 images, a whole batch at once.

Source: He et al. 2016, arXiv:1512.03385, sec. 4.2 (shift by up to 4 pixels, horizontal flip); DeVries and
Taylor 2017, arXiv:1708.04552, sec. 3.2 (Cutout: a square that may lie partly outside). Where we differ: the
border is reflected, not black, so that no image has an edge that the data does not have; the square is grey.
"""

import torch
from pydantic import Field
from torch import Tensor

from edgekd.core.spec_base import Spec
from edgekd.core.user_code import UserFunction
from edgekd.errors import DataError

GREY = 128


class AugmentSpec(Spec):
    """How train images are varied. The default leaves them as they are.

    Attributes:
        shift_pixels: Largest shift in each direction; what comes in is the reflected image.
        flip: Mirror half of the images left to right.
        erase_pixels: Side of the square that is erased from every image. A teacher that knows its training
            images by heart says more about such ones.
        code: A function of yours, called last: ``augment(images, generator)`` returns uint8 images of that
            shape; all its randomness has to come from the torch generator.
    """

    shift_pixels: int = Field(default=0, ge=0)
    flip: bool = False
    erase_pixels: int = Field(default=0, ge=0)
    code: UserFunction | None = None

    def augment(self, images: Tensor, generator: torch.Generator) -> Tensor:
        """Return a batch with each image shifted, mirrored and erased on its own.

        Args:
            images: uint8, shape (n, height, width, channels).
            generator: Source of the randomness, on the CPU.

        Returns:
            Same shape and dtype.

        Raises:
            DataError: If the shift is not smaller than the image, or ``code`` returns something else.
        """
        n, height, width, channels = images.shape
        self.check_size(height, width)
        rows = self._shifted(n, height, generator)
        columns = self._shifted(n, width, generator)
        if self.flip:
            mirrored = torch.rand(n, 1, generator=generator) < 0.5
            columns = torch.where(mirrored, columns.flip(1), columns)
        first_row = torch.arange(n)[:, None, None] * height
        pixels = (first_row + rows[:, :, None]) * width + columns[:, None, :]
        varied = images.reshape(-1, channels).index_select(0, pixels.reshape(-1)).reshape(images.shape)
        if self.erase_pixels:
            square = (
                self._erased(n, height, generator)[:, :, None] & self._erased(n, width, generator)[:, None]
            )
            varied.masked_fill_(square[..., None], GREY)
        return varied if self.code is None else self._by_code(self.code, varied, generator)

    def check_size(self, height: int, width: int) -> None:
        """Raise DataError if images are not larger than the shift."""
        if self.shift_pixels >= min(height, width):
            what = f"cannot shift {height}x{width} images by {self.shift_pixels} pixels"
            fix = f"set shift_pixels to less than {min(height, width)}"
            raise DataError(what, where="training.augment.shift_pixels", fix=fix)

    def _by_code(self, code: UserFunction, images: Tensor, generator: torch.Generator) -> Tensor:
        varied = code.call(images=images, generator=generator)
        if not isinstance(varied, Tensor) or (varied.shape, varied.dtype) != (images.shape, torch.uint8):
            found = (
                f"{varied.dtype} {tuple(varied.shape)}"
                if isinstance(varied, Tensor)
                else type(varied).__name__
            )
            what = f"{code.function} returns {found}, not torch.uint8 {tuple(images.shape)}"
            raise DataError(what, where=code.file, fix="return images like those that came in")
        return varied

    def _erased(self, n: int, size: int, generator: torch.Generator) -> Tensor:
        """Which rows (or columns) the square covers, shape (n, size); its centre lies inside."""
        first = torch.randint(0, size, (n, 1), generator=generator) - self.erase_pixels // 2
        index = torch.arange(size)
        return (index >= first) & (index < first + self.erase_pixels)

    def _shifted(self, n: int, size: int, generator: torch.Generator) -> Tensor:
        """Source index of each output row (or column), shape (n, size), reflected at both borders."""
        shift = torch.randint(-self.shift_pixels, self.shift_pixels + 1, (n, 1), generator=generator)
        index = (torch.arange(size) + shift).abs()
        return torch.where(index < size, index, 2 * (size - 1) - index)
