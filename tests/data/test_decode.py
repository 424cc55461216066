import time

import numpy as np
import pytest
from PIL import Image

from edgekd.data.decode import Encoded, ImageFormat, decode_images

RGB = ImageFormat(8, 8, "RGB", "crop")
RED = (250, 20, 10)


def decode(path, form=RGB):
    return form.decode(Encoded(path, str(path)))


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "P", "CMYK", "L", "LA", "1"])
def test_other_kinds_of_images_are_converted(tmp_path, mode):
    path = tmp_path / ("x.tiff" if mode == "CMYK" else "x.png")
    Image.new("RGB", (8, 8), RED).convert(mode).save(path)
    expected = np.asarray(Image.open(path).convert("RGB"))
    np.testing.assert_array_equal(decode(path), expected)


def test_palette_with_transparency_keeps_its_colours(tmp_path):
    image = Image.new("P", (8, 8), 1)
    image.putpalette([0, 0, 0, *RED])
    image.save(tmp_path / "x.png", transparency=b"\0\x80")
    assert decode(tmp_path / "x.png")[0, 0].tolist() == list(RED)


def test_rotation_of_the_camera_is_applied(tmp_path):
    image = Image.new("RGB", (8, 8), (0, 0, 0))
    image.paste(RED, (0, 0, 8, 2))  # the top of what was stored
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was turned: what was stored on top belongs to the right
    image.save(tmp_path / "x.png", exif=exif)
    pixels = decode(tmp_path / "x.png")
    assert (pixels[:, 6:] == RED).all()
    assert (pixels[:, :6] == 0).all()


def test_preview_frame_of_a_camera_is_no_animation(tmp_path):
    frames = [Image.new("RGB", (8, 8), RED), Image.new("RGB", (4, 4))]
    frames[0].save(tmp_path / "x.mpo", save_all=True, append_images=frames[1:])
    assert abs(int(decode(tmp_path / "x.mpo")[0, 0, 0]) - 250) < 8


def test_large_jpeg_is_decoded_at_a_fraction_of_its_size(tmp_path):
    rng = np.random.default_rng(0)
    smooth = Image.fromarray(rng.integers(0, 256, (6, 8, 3), dtype=np.uint8)).resize((3200, 2400))
    smooth.save(tmp_path / "x.jpg", quality=95)
    form = ImageFormat(64, 64, "RGB", "stretch")
    times = []
    for _ in range(3):
        start = time.perf_counter()
        pixels = decode(tmp_path / "x.jpg", form)
        times.append(time.perf_counter() - start)
    start = time.perf_counter()
    whole = np.asarray(Image.open(tmp_path / "x.jpg").resize((64, 64), Image.Resampling.BILINEAR))
    assert min(times) < (time.perf_counter() - start) / 1.5
    assert np.abs(pixels.astype(int) - whole).max() <= 4


def test_every_row_is_decoded_once_in_its_place(tmp_path):
    for i in range(30):
        Image.new("L", (2, 2), i).save(tmp_path / f"{i}.png")
    form = ImageFormat(2, 2, "L", "none")
    images = decode_images(
        lambda row: Encoded((tmp_path / f"{row}.png").read_bytes(), str(row)),
        30,
        form,
        stream=False,
        identity="",
        description="x",
    )
    assert images[:, 0, 0, 0].tolist() == list(range(30))
