"""BatchNorm statistics of the network that training ended with, instead of a trail of those before it.

Source: Nagel et al. 2022, arXiv:2203.11086, sec. 5.1: with fake quantization the running statistics lag
behind the weights, most in layers with few weights per channel, and are estimated again after training.
"""

import torch
from torch import nn

from edgekd.data.augment import AugmentSpec
from edgekd.data.batches import epoch_batches
from edgekd.data.dataset import Split

IMAGES = 12_800


@torch.no_grad()
def reestimate_batchnorm(
    network: nn.Module, train: Split, *, batch_size: int, augment: AugmentSpec, seed: int
) -> None:
    """Replace every running mean and variance, in place, by the average over fresh batches.

    Args:
        network: Trained; everything but BatchNorm runs in eval mode.
        train: Training rows, of which about 12 800 are seen once.
        batch_size: Images per batch, as in training.
        augment: How images are varied, as in training.
        seed: Of their order.
    """
    norms = [layer for layer in network.modules() if isinstance(layer, nn.BatchNorm1d | nn.BatchNorm2d)]
    momenta = [norm.momentum for norm in norms]
    network.eval()
    if not norms:
        return
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # a plain average
        norm.train()
    batches = epoch_batches(train, batch_size=batch_size, seed=seed, epoch=0, augment=augment)
    for (images, _), _ in zip(batches, range(max(1, IMAGES // batch_size)), strict=False):
        network(images)
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
    network.eval()
