"""A folder of real image files, written by Pillow."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache of this test's own."""
    monkeypatch.setenv("EDGEKD_STORE", str(tmp_path / "store"))
    return tmp_path / "store"


@pytest.fixture
def photo() -> Callable[..., Path]:
    """Return a function that writes an image: a gradient in the colour of its class."""

    def write(path: Path, colour: tuple[int, int, int], *, size=(40, 30), seed=0, **options) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        width, height = size
        ramp = np.linspace(0.3, 1.0, width)[None, :, None] * np.linspace(0.5, 1.0, height)[:, None, None]
        noise = np.random.default_rng(seed).integers(0, 12, (height, width, 3))
        pixels = np.clip(ramp * np.array(colour) + noise, 0, 255).astype(np.uint8)
        Image.fromarray(pixels).save(path, **options)
        return path

    return write


@pytest.fixture
def photos(tmp_path: Path, photo, store: Path) -> Path:
    """Three classes with 12, 8 and 6 images in four formats, not divided into splits."""
    colours = {"blue": (20, 30, 230), "green": (20, 230, 40), "red": (230, 30, 20)}
    suffixes = (".jpg", ".png", ".bmp", ".webp", ".JPEG")
    for (name, colour), count in zip(colours.items(), (12, 8, 6), strict=True):
        for i in range(count):
            photo(tmp_path / "photos" / name / f"{i:02}{suffixes[i % 5]}", colour, size=(40 + i, 30), seed=i)
    return tmp_path / "photos"
