import pytest
import torch

from edgekd.quant.scheme import QuantScheme
from edgekd.quant.twn import TwnSpec


def test_threshold_and_scale_are_those_of_each_channel():
    """Mean|w| = 0.5, threshold 0.35: 0.9 -0.6 0.4 stay, mean 1.9 / 3.  Channel 1 is ten times that."""
    row = [0.9, -0.6, 0.4, -0.1]
    w = torch.tensor([row, [10 * value for value in row]], requires_grad=True)
    quantizer = TwnSpec().build(TwnSpec().weight_grid, axis=0, mark="w", channels=2)
    y = quantizer(w)
    scale = 1.9 / 3
    assert y[0].tolist() == pytest.approx([scale, -scale, scale, 0])
    assert y[1].tolist() == pytest.approx([10 * scale, -10 * scale, 10 * scale, 0])
    (y * torch.tensor([1.0, 2.0, 3.0, 4.0])).sum().backward()
    assert w.grad.tolist() == [[1, 2, 3, 4]] * 2  # straight through, everywhere


def test_a_channel_of_zeros_stays_zero():
    quantizer = TwnSpec().build(TwnSpec().weight_grid, axis=0, mark="w", channels=1)
    assert quantizer(torch.zeros(1, 5)).tolist() == [[0] * 5]


def test_layers_of_eight_bits_have_lsq():
    scheme = QuantScheme(weights=TwnSpec())
    assert [scheme.weights_at(bits).kind for bits in (2, 8)] == ["twn", "lsq"]
    assert scheme.weights_at(8).bits == 8
