import hashlib

import numpy as np
import pytest
from pydantic import ValidationError
from sklearn.datasets import load_digits

from edgekd.data.digits import DigitsSpec

SPLITS = ("train", "validation", "test")


def test_split_sizes_are_stratified():
    counts = {name: np.bincount(DigitsSpec().split(name).labels) for name in SPLITS}
    total = sum(counts.values())
    assert total.sum() == 1797
    assert DigitsSpec().train_rows() == counts["train"].sum()
    np.testing.assert_array_equal(total, np.bincount(load_digits().target))
    assert np.abs(counts["test"] - 0.25 * total).max() <= 0.5
    assert np.abs(counts["validation"] - 0.1 * (total - counts["test"])).max() <= 0.5


def test_split_holds_every_image_once_at_its_own_size():
    codes = np.rint(load_digits().images * 255 / 16).astype(np.uint8)
    expected = sorted(image.tobytes() for image in codes)
    spec = DigitsSpec(image_size=8)
    assert sorted(image.tobytes() for name in SPLITS for image in spec.split(name).images) == expected


def test_split_is_the_same_everywhere():
    """The split decides every result, so its rows must never move."""
    digest = hashlib.sha256()
    for name in SPLITS:
        digest.update(DigitsSpec(image_size=8).split(name).images.tobytes())
    assert digest.hexdigest() == "66b86fe7e53a7cfbc3b22f28a104541662df12606e5b193b9463329c97f691bf"


def test_split_is_decoded_once():
    assert DigitsSpec().split("test") is DigitsSpec().split("test")


def test_info_describes_the_images():
    spec = DigitsSpec(image_size=20)
    info, images = spec.info(), spec.split("validation").images
    assert images.shape[1:] == (info.height, info.width, info.channels) == (20, 20, 1)
    assert info.color_order == "L"
    assert info.class_names == tuple("0123456789")
    assert info.resize == "bilinear, 8x8 to 20x20"
    assert images.max() == 255


def test_spec_refuses_an_image_size_below_the_original():
    with pytest.raises(ValidationError):
        DigitsSpec(image_size=7)
