"""Batches for training: order and augmentation are a function of (seed, epoch) and of nothing else."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch
from torch import Tensor

from edgekd.data.augment import AugmentSpec
from edgekd.data.dataset import Split
from edgekd.errors import DataError


def batches_per_epoch(samples: int, *, batch_size: int, drop_last: bool = True) -> int:
    """Count the batches of one epoch.

    Raises:
        DataError: If there is not one.

    Example:
        >>> batches_per_epoch(50_000, batch_size=128)
        390
        >>> batches_per_epoch(50_000, batch_size=128, drop_last=False)
        391
    """
    full, rest = divmod(samples, batch_size)
    batches = full if drop_last or not rest else full + 1
    if batches == 0:
        what = f"{samples} images do not fill one batch of {batch_size}"
        if not samples:
            raise DataError(what, where="data", fix="give it images: the split is empty")
        raise DataError(what, where="training.batch_size", fix=f"set it to {samples} or less")
    return batches


def epoch_batches(
    split: Split, *, batch_size: int, seed: int, epoch: int, augment: AugmentSpec, drop_last: bool = True
) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield one epoch of shuffled, augmented batches; a resumed run sees the same ones again.

    Args:
        split: Rows to draw from, each once.
        batch_size: Images per batch.
        seed: Seed of the run.
        epoch: Number of the epoch; each has its own order.
        augment: How the images are varied.
        drop_last: Leave out the last batch if it is not full.

    Yields:
        Images, uint8 (n, height, width, channels), and labels, (n,) or (n, outputs), on the CPU.

    Raises:
        DataError: If there is not one batch.
    """
    epoch_seed = int(np.random.SeedSequence([seed, epoch]).generate_state(1)[0])
    generator = torch.Generator().manual_seed(epoch_seed)
    order = torch.randperm(len(split), generator=generator).numpy()
    batches = batches_per_epoch(len(split), batch_size=batch_size, drop_last=drop_last)

    def read(batch: int) -> tuple[Tensor, Tensor]:
        rows = order[batch * batch_size : (batch + 1) * batch_size]
        return torch.from_numpy(split.images[rows]), torch.from_numpy(split.labels[rows])

    with ThreadPoolExecutor(1, thread_name_prefix="batches") as reader:
        pending = reader.submit(read, 0)
        for batch in range(batches):
            images, labels = pending.result()
            if batch + 1 < batches:
                pending = reader.submit(read, batch + 1)  # while this one is trained on
            yield augment.augment(images, generator), labels
