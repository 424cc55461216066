import numpy as np
import pytest
import torch
from torch import nn

from edgekd.data.augment import AugmentSpec
from edgekd.data.dataset import Split
from edgekd.train.batchnorm import reestimate_batchnorm
from edgekd.zoo.pixels import ImageNetwork, PixelGrid


@pytest.fixture
def split():
    images = np.random.default_rng(0).integers(0, 256, (64, 4, 4, 3), np.uint8)
    return Split(images, np.zeros(64, np.int64))


def test_statistics_are_the_average_over_all_batches(split):
    """Batches of equal size: the mean of their means is the mean of all 64 images."""
    network = ImageNetwork(PixelGrid.like(), nn.Sequential(nn.BatchNorm2d(3), nn.Dropout(0.9)))
    norm = network.body[0]
    norm.running_mean.fill_(7)
    reestimate_batchnorm(network, split, batch_size=16, augment=AugmentSpec(), seed=0)
    planes = network.pixels(torch.tensor(split.images))
    assert torch.allclose(norm.running_mean, planes.mean((0, 2, 3)), atol=1e-6)
    variances = torch.stack([batch.transpose(0, 1).flatten(1).var(1) for batch in planes.split(16)])
    assert torch.allclose(
        norm.running_var, variances.mean(0), rtol=0.05
    )  # batches are drawn in another order
    assert norm.momentum == 0.1
    assert not any(module.training for module in network.modules())


def test_the_network_before_a_norm_is_in_eval_mode(split):
    """Dropout would multiply what is left by 10, and the variance of 0 and 10 a is at least that of a."""
    network = ImageNetwork(PixelGrid.like(), nn.Sequential(nn.Dropout(0.9), nn.BatchNorm2d(3)))
    reestimate_batchnorm(network.train(), split, batch_size=64, augment=AugmentSpec(), seed=0)
    planes = network.pixels(torch.tensor(split.images))
    torch.testing.assert_close(network.body[1].running_var, planes.transpose(0, 1).flatten(1).var(1))


def test_layers_without_statistics_are_left_alone(split):
    network = ImageNetwork(PixelGrid.like(), nn.Conv2d(3, 2, 1))
    before = network.body.weight.clone()
    reestimate_batchnorm(network, split, batch_size=16, augment=AugmentSpec(), seed=0)
    assert torch.equal(network.body.weight, before)
