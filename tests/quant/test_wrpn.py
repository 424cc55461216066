import pytest
import torch

from edgekd.core.grid import IntGrid
from edgekd.quant.wrpn import WrpnSpec


def test_weights_and_activations_have_the_papers_levels_without_calibration():
    """4 bits: weights in sevenths within -1..1, activations in fifteenths within 0..1.

    0.2 * 7 = 1.4 -> 1; -0.65 * 7 = -4.55 -> -5; 3 -> 7. 0.43 * 15 = 6.45 -> 6; 1.5 -> 15; -1 -> 0.
    """
    weights = WrpnSpec(bits=4).build(IntGrid(-7, 7), axis=0, mark="w", channels=1)
    x = torch.tensor([[0.2, -0.65, 3.0]], requires_grad=True)
    y = weights(x)
    assert y.tolist() == [pytest.approx([1 / 7, -5 / 7, 1])]
    y.sum().backward()
    assert x.grad.tolist() == [[1, 1, 0]]
    activations = WrpnSpec(bits=4).build(IntGrid(0, 15), axis=None, mark="a")
    assert activations(torch.tensor([0.43, 1.5, -1.0])).tolist() == pytest.approx([6 / 15, 1, 0])


def test_a_given_weight_has_its_largest_magnitude_as_unit():
    weights = WrpnSpec(bits=4).build(IntGrid(-7, 7), axis=0, mark="w", channels=2)
    weights.start(torch.tensor([[0.1, -0.7], [14.0, 1.0]]), scale=torch.ones(2))
    assert weights.scale.tolist() == pytest.approx([0.1, 2.0])
