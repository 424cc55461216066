import numpy as np
import pytest
import torch

from edgekd.core import user_code
from edgekd.data.augment import GREY, AugmentSpec
from edgekd.errors import DataError

IMAGES = torch.randint(0, 256, (200, 6, 7, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


def augmented(spec, images=IMAGES):
    return spec.augment(images, torch.Generator().manual_seed(1))


def test_augment_leaves_images_alone_by_default():
    assert torch.equal(augmented(AugmentSpec()), IMAGES)


def test_augment_mirrors_about_half_of_the_images():
    out = augmented(AugmentSpec(flip=True))
    kept = (out == IMAGES).flatten(1).all(1)
    mirrored = (out == IMAGES.flip(2)).flatten(1).all(1)
    assert bool((kept ^ mirrored).all())
    assert 70 < int(mirrored.sum()) < 130


def test_augment_yields_every_crop_of_the_reflected_image_and_no_other():
    """Numpy pads and crops; all 3 * 3 shifts must come up and nothing else."""
    out = augmented(AugmentSpec(shift_pixels=1)).numpy()
    seen = set()
    for image, result in zip(IMAGES.numpy(), out, strict=True):
        padded = np.pad(image, ((1, 1), (1, 1), (0, 0)), mode="reflect")
        crops = {(y, x): padded[y : y + 6, x : x + 7] for y in range(3) for x in range(3)}
        matches = [shift for shift, crop in crops.items() if np.array_equal(crop, result)]
        assert len(matches) == 1
        seen.update(matches)
    assert len(seen) == 9


def test_augment_keeps_the_input():
    before = IMAGES.clone()
    assert not torch.equal(augmented(AugmentSpec(shift_pixels=2, flip=True)), before)
    assert torch.equal(IMAGES, before)


def test_augment_works_up_to_the_largest_shift():
    image = torch.arange(3, dtype=torch.uint8).reshape(1, 3, 1, 1).expand(100, 3, 3, 1)
    out = augmented(AugmentSpec(shift_pixels=2), image)
    assert {tuple(rows) for rows in out[:, :, 0, 0].tolist()} == {
        (2, 1, 0),
        (1, 0, 1),
        (0, 1, 2),
        (1, 2, 1),
        (2, 1, 0),
    }


def test_augment_refuses_a_shift_as_large_as_the_image():
    with pytest.raises(DataError, match="cannot shift 6x7 images by 6"):
        augmented(AugmentSpec(shift_pixels=6))


def test_augment_erases_one_square_of_every_image():
    """A square of 3 whose centre lies in 6 x 7 pixels: 2 or 3 rows by 2 or 3 columns, all else as before."""
    images = IMAGES.clone().clamp_(max=100)
    out = augmented(AugmentSpec(erase_pixels=3), images)
    erased = (out == GREY).all(3)
    assert torch.equal(out[~erased], images[~erased])
    rows, columns = erased.any(2).sum(1), erased.any(1).sum(1)
    assert torch.equal(erased.sum((1, 2)), rows * columns)
    assert set(rows.tolist()) == set(columns.tolist()) == {2, 3}
    assert bool(erased.any(0).all())  # every pixel goes at some time


@pytest.fixture
def by_code(tmp_path, monkeypatch):
    monkeypatch.setattr(user_code, "_ALLOWED", True)
    (tmp_path / "mine.py").write_text(
        "import torch\n"
        "def dim(images, generator, by=2):\n"
        "    noise = torch.randint(0, 3, images.shape, dtype=torch.uint8, generator=generator)\n"
        "    return images // by + noise\n"
        "def floats(images, generator):\n"
        "    return images / 2\n"
    )

    def build(function, **options):
        code = {"file": "mine.py", "function": function, "options": options}
        return AugmentSpec.model_validate({"code": code}, context={"folder": tmp_path})

    return build


def test_code_has_the_last_word_and_repeats_itself(by_code):
    varied = augmented(by_code("dim", by=4))
    assert torch.equal(varied, augmented(by_code("dim", by=4)))
    difference = varied.int() - IMAGES.int() // 4
    assert difference.unique().tolist() == [0, 1, 2]


def test_code_that_changes_type_is_refused(by_code):
    with pytest.raises(DataError, match=r"floats returns torch.float32"):
        augmented(by_code("floats"))
