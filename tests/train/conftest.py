from collections.abc import Iterator

import numpy as np
import pytest
import torch

from edgekd.data.dataset import Split


@pytest.fixture
def split() -> Split:
    """Sixty-four 4x4 grey images; the class is which half of the image is brighter."""
    rng = np.random.default_rng(0)
    images = rng.integers(0, 128, (64, 4, 4, 1), dtype=np.uint8)
    labels = rng.integers(0, 2, 64)
    images[labels == 0, :2] += 100
    images[labels == 1, 2:] += 100
    return Split(images, labels.astype(np.int64))


@pytest.fixture
def one_thread() -> Iterator[None]:
    """Bits depend on the number of threads."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)
