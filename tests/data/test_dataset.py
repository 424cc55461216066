import numpy as np
import pytest

from edgekd.data.dataset import Split
from edgekd.errors import DataError

IMAGES = np.arange(3 * 2 * 2).astype(np.uint8).reshape(3, 2, 2, 1)
LABELS = np.array([0, 1, 2])


def test_split_arrays_are_read_only():
    split = Split(IMAGES.copy(), LABELS.copy())
    with pytest.raises(ValueError, match="read-only"):
        split.images[0] = 0
    with pytest.raises(ValueError, match="read-only"):
        split.labels[0] = 0


def test_take_keeps_images_and_labels_together():
    part = Split(IMAGES.copy(), LABELS.copy()).take(np.array([2, 0]))
    assert len(part) == 2
    assert part.labels.tolist() == [2, 0]
    np.testing.assert_array_equal(part.images, IMAGES[[2, 0]])


@pytest.mark.parametrize(
    ("images", "labels"),
    [
        pytest.param(IMAGES.astype(np.float32), LABELS, id="float images"),
        pytest.param(IMAGES[..., 0], LABELS, id="no channel axis"),
        pytest.param(IMAGES, LABELS[:2], id="fewer labels"),
        pytest.param(IMAGES, LABELS.astype(np.int32), id="int32 labels"),
    ],
)
def test_split_refuses_arrays_of_another_form(images, labels):
    with pytest.raises(DataError, match="must be"):
        Split(images, labels)
