import numpy as np
import pytest
import torch

from edgekd.data.augment import AugmentSpec
from edgekd.data.batches import batches_per_epoch, epoch_batches
from edgekd.data.dataset import Split, StreamedImages
from edgekd.errors import DataError

SPLIT = Split(
    np.random.default_rng(0).integers(0, 256, (50, 6, 6, 1), dtype=np.uint8), np.arange(50, dtype=np.int64)
)
AUGMENT = AugmentSpec(shift_pixels=2, flip=True)


def epoch(number, *, seed=0, augment=AUGMENT, drop_last=True):
    return list(
        epoch_batches(SPLIT, batch_size=16, seed=seed, epoch=number, augment=augment, drop_last=drop_last)
    )


def labels(batches):
    return torch.cat([y for _, y in batches]).tolist()


def test_epoch_batches_repeats_an_epoch_exactly():
    torch.manual_seed(1)
    first = epoch(3)
    torch.manual_seed(2)
    for (images, y), (images_again, y_again) in zip(first, epoch(3), strict=True):
        assert torch.equal(images, images_again)
        assert torch.equal(y, y_again)


def test_epoch_batches_differs_between_epochs_and_seeds():
    orders = [labels(epoch(0)), labels(epoch(1)), labels(epoch(0, seed=1)), labels(epoch(1, seed=1))]
    assert len({tuple(order) for order in orders}) == 4


def test_epoch_batches_keeps_images_and_labels_together():
    for images, y in epoch(0, augment=AugmentSpec()):
        assert (images.dtype, y.dtype) == (torch.uint8, torch.int64)
        np.testing.assert_array_equal(images.numpy(), SPLIT.images[y.numpy()])


def test_epoch_batches_yields_each_row_once():
    batches = epoch(0, drop_last=False)
    assert [len(y) for _, y in batches] == [16, 16, 16, 2]
    assert sorted(labels(batches)) == list(range(50))
    assert [len(y) for _, y in epoch(0)] == [16, 16, 16]


def test_batches_per_epoch_refuses_a_batch_larger_than_the_split():
    with pytest.raises(DataError, match="50 images do not fill one batch of 64"):
        batches_per_epoch(50, batch_size=64)
    assert batches_per_epoch(50, batch_size=64, drop_last=False) == 1


def test_batches_per_epoch_refuses_an_empty_split():
    with pytest.raises(DataError, match="0 images"):
        batches_per_epoch(0, batch_size=8, drop_last=False)


def test_streamed_images_give_the_same_batches():
    images = np.random.default_rng(0).integers(0, 256, (10, 3, 3, 1), dtype=np.uint8)
    streamed = StreamedImages(lambda rows: images[rows], np.arange(10), (3, 3, 1))
    labels = np.arange(10)
    options = {"batch_size": 4, "seed": 1, "epoch": 2, "augment": AugmentSpec(shift_pixels=1, flip=True)}
    for kept, read in zip(
        epoch_batches(Split(images, labels), **options),
        epoch_batches(Split(streamed, labels), **options),
        strict=True,
    ):
        assert all(torch.equal(one, other) for one, other in zip(kept, read, strict=True))
