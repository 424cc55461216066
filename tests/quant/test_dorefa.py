import math

import pytest
import torch

from edgekd.core.grid import IntGrid
from edgekd.quant.dorefa import DorefaSpec


def weights(bits):
    return DorefaSpec(bits=bits).build(DorefaSpec(bits=bits).weight_grid, axis=0, mark="w", channels=1)


def test_weights_are_odd_numbers_of_half_steps():
    """2 bits, levels -1 -1/3 1/3 1, largest tanh(1) = 0.761594.

    w = 1: t = 1, q = round(3 * 1) = 3, 2 * 3/3 - 1 = 1.  w = 0.3: tanh = 0.291313, t = 0.382504,
    q = round(3 * 0.691252) = 2, 2 * 2/3 - 1 = 1/3.  w = -0.1: t = -0.130868, q = round(1.303698) = 1, -1/3.
    w = -0.9: t = -0.940517, q = round(3 * 0.029742) = 0, -1.
    """
    assert weights(2)(torch.tensor([[1.0, 0.3, -0.1, -0.9]])).tolist() == [
        pytest.approx([1, 1 / 3, -1 / 3, -1])
    ]


def test_four_bits_are_the_odd_codes_of_int8():
    quantizer = weights(4)
    w = torch.linspace(-0.5, 0.5, 1001)[None]
    codes = (quantizer(w) / quantizer.scale).round().unique()
    assert codes.tolist() == list(range(-15, 16, 2))


def test_gradient_is_that_of_the_tanh():
    """(1 - tanh(w)^2) / tanh(1): w = 0.3 gives 0.915137 / 0.761594 = 1.201607, w = 1: 0.419974 / 0.761594."""
    w = torch.tensor([[1.0, 0.3]], requires_grad=True)
    weights(2)(w).sum().backward()
    assert w.grad.tolist() == [pytest.approx([0.419974 / 0.761594, 1.201607], rel=1e-5)]


def test_a_given_weight_keeps_its_size():
    quantizer = weights(4)
    w = torch.tensor([[0.02, -0.01, 0.005]])
    quantizer.start(w, scale=torch.ones(1))
    assert quantizer(w)[0, 0].item() == pytest.approx(0.02)
    assert (quantizer(w) - w).abs().max() <= 0.02 / 15 * 1.001


def test_activations_are_clipped_to_one():
    """2 bits: round(3 * 0.4) / 3 = 1/3."""
    quantizer = DorefaSpec(bits=2).build(IntGrid(0, 3), axis=None, mark="a")
    assert quantizer(torch.tensor([0.4, 7.0, -1.0])).tolist() == pytest.approx([1 / 3, 1, 0])


def test_weights_of_eight_bits_are_refused():
    assert "-255..255" in DorefaSpec(bits=8).misuse("weights")
    assert DorefaSpec(bits=8).misuse("activations") == DorefaSpec(bits=7).misuse("weights") == ""
    assert math.isclose(weights(7).grid.qmax, 127)
