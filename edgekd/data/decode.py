"""From encoded images to pixels of one size: on all cores, with the file's name in every complaint.

What becomes of images that are not plain 8-bit RGB or grey:

- grey, palette, CMYK and images with transparency are converted; transparency is dropped;
- 16-bit and float images are refused: which range is black to white is not in the file;
- animations are refused: which frame is meant is not known;
- a rotation that the camera noted (EXIF) is applied.
"""

import io
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from edgekd.core.spec_base import json_digest
from edgekd.data.dataset import ColorOrder, Images, StreamedImages
from edgekd.data.fingerprint import remembered
from edgekd.data.parallel import for_each_row, pool
from edgekd.errors import DataError

Resize = Literal["crop", "stretch", "none"]

LARGEST_PIXELS = 80_000_000
"""In one image: a file of a few bytes can claim any number."""


class Encoded(NamedTuple):
    """An image as it is stored: its file or its bytes (None where there are none), and where it lies."""

    data: Path | bytes | None
    where: str


@dataclass(frozen=True)
class ImageFormat:
    """What every image is brought to.

    Attributes:
        height: In pixels.
        width: In pixels.
        color_order: RGB or grey.
        resize: ``crop`` scales the largest centred area of the target's shape, ``stretch`` the whole image,
            both with Pillow's antialiasing bilinear filter; ``none`` takes images of that size alone.
    """

    height: int
    width: int
    color_order: ColorOrder
    resize: Resize

    @property
    def shape(self) -> tuple[int, int, int]:
        """(height, width, channels)."""
        return self.height, self.width, 3 if self.color_order == "RGB" else 1

    @property
    def description(self) -> str:
        """What the exported model's metadata say of the resize."""
        return self.resize if self.resize == "none" else f"{self.resize}, bilinear"

    def decode(self, encoded: Encoded) -> NDArray[np.uint8]:
        """Return the pixels, uint8 (height, width, channels).

        Raises:
            DataError: If the image is damaged or of a kind that is refused.
        """
        source = encoded.data if isinstance(encoded.data, Path) else io.BytesIO(encoded.data or b"")
        try:
            with Image.open(source) as image:
                side = 2 * max(self.height, self.width)
                _check_size(image, encoded.where)
                image.draft(None, (side, side))  # a JPEG decodes at a half to an eighth of its size
                image.load()
                _check_kind(image, encoded.where)
                upright = ImageOps.exif_transpose(image)
        except DataError:
            raise
        except (
            Exception
        ) as e:  # Pillow's decoders raise OSError, SyntaxError, ValueError, struct.error and more
            what = f"image cannot be decoded: {' '.join(str(e).split())}"
            raise DataError(what, where=encoded.where, fix="replace the file or take it out") from e
        plain = upright.convert("RGBA") if upright.mode == "P" else upright
        pixels = np.asarray(self._resized(plain.convert(self.color_order), encoded.where))
        return pixels.reshape(self.shape)

    def _resized(self, image: Image.Image, where: str) -> Image.Image:
        size = (self.width, self.height)
        if image.size == size:
            return image
        if self.resize == "none":
            what = f"image is {image.width}x{image.height}, not {self.width}x{self.height}"
            raise DataError(what, where=where, fix="bring all images to one size, or set data.resize: crop")
        if self.resize == "crop":
            return ImageOps.fit(image, size, Image.Resampling.BILINEAR)
        return image.resize(size, Image.Resampling.BILINEAR)


def _check_size(image: Image.Image, where: str) -> None:
    if image.width * image.height > LARGEST_PIXELS:
        what = f"image has {image.width}x{image.height} pixels: it would fill the memory"
        raise DataError(what, where=where, fix=f"store it with at most {LARGEST_PIXELS:,} pixels")


def _check_kind(image: Image.Image, where: str) -> None:
    if image.mode.startswith(("I", "F")):
        what = f"image has mode {image.mode}, not 8 bits per channel"
        raise DataError(what, where=where, fix="store it with 8 bits per channel")
    if getattr(image, "is_animated", False) and image.format != "MPO":  # cameras add a preview as a frame
        what = f"image is an animation of {getattr(image, 'n_frames', 0)} frames"
        raise DataError(what, where=where, fix="store the frame that is meant, or take the image out")


def decode_images(
    encoded: Callable[[int], Encoded],
    n: int,
    form: ImageFormat,
    *,
    stream: bool,
    identity: str,
    description: str,
) -> Images:
    """Return ``n`` images: decoded now, or streamed, which means whenever they are indexed.

    Streamed ones are decoded once all the same: else a damaged one would show hours later.

    Args:
        encoded: Returns the image of a row; may be called by several threads at once.
        n: Number of rows.
        form: What every image is brought to.
        stream: Whether to decode later.
        identity: Digest of the images; those that went well once are not tried again.
        description: Shown with the progress.

    Raises:
        DataError: If an image is damaged or refused; it names the first one and counts the others.
    """
    if stream:

        def attempt() -> str:
            for_each_row(lambda row: form.decode(encoded(row)), n, description=f"{description} once")
            return "well"

        remembered(json_digest(["decodes", str(form), identity]), attempt)
        return StreamedImages(lambda rows: _decode_rows(encoded, rows, form), np.arange(n), form.shape)
    images = np.empty((n, *form.shape), np.uint8)

    def keep(row: int) -> None:
        images[row] = form.decode(encoded(row))

    for_each_row(keep, n, description=description)
    return images


def _decode_rows(
    encoded: Callable[[int], Encoded], rows: NDArray[np.intp], form: ImageFormat
) -> NDArray[np.uint8]:
    images = np.empty((len(rows), *form.shape), np.uint8)
    for index, image in enumerate(pool().map(lambda row: form.decode(encoded(int(row))), rows)):
        images[index] = image
    return images
