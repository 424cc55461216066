import pytest
import torch
from torch import nn

from edgekd.train.ema import weight_average


def test_average_starts_at_the_first_weights_and_follows_buffers_too() -> None:
    """Decay 0.75: 2, then 0.75 * 2 + 0.25 * 6 = 3, then 0.75 * 3 + 0.25 * 1 = 2.5; 9 is no part of it."""
    network = nn.BatchNorm1d(1)
    nn.init.constant_(network.weight, 9.0)
    average = weight_average(network, 0.75)
    for value in (2.0, 6.0, 1.0):
        with torch.no_grad():
            network.weight.fill_(value)
            network.running_mean.fill_(10 * value)  # type: ignore[union-attr,operator]
        average.update_parameters(network)
    assert average.module.weight.item() == pytest.approx(2.5)  # type: ignore[operator,union-attr]
    assert average.module.running_mean.item() == pytest.approx(25)  # type: ignore[operator,union-attr]
