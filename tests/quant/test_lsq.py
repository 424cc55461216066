import pytest
import torch
from torch import nn

from edgekd.core.grid import IntGrid
from edgekd.quant.lsq import LsqSpec
from edgekd.quant.quantizer import SMALLEST_SCALE


def test_scale_is_a_parameter():
    assert isinstance(LsqSpec().build(IntGrid(-7, 7), axis=None, mark="here").scale, nn.Parameter)


def test_gradient_of_an_activation_scale_is_damped_by_the_features_of_one_sample():
    """Esser et al. sec. 2.2: g = 1 / sqrt(N * Qp), here N = 4 features of one sample, Qp = 7.

    v = 1.2 in all 8 places: d/ds = 8 * (1 - 1.2) = -1.6; damped: -1.6 / sqrt(28) = -0.302372.
    """
    quantizer = LsqSpec().build(IntGrid(-7, 7), axis=None, mark="here").train()
    quantizer(torch.full((2, 4), 1.2)).sum().backward()
    assert quantizer.scale.grad.item() == pytest.approx(-0.302372, rel=1e-4)


def test_gradient_of_a_weight_scale_is_damped_by_the_weights_of_one_channel():
    """N = 2 * 3 * 3 = 18 weights of a channel, Qp = 127; channel 0 has v = 1.2, channel 1 is out of range.

    d/ds = 18 * (-0.2) = -3.6 and 18 * 127 = 2286, each divided by sqrt(18 * 127) = 47.8121.
    """
    weight = torch.stack([torch.full((2, 3, 3), 1.2), torch.full((2, 3, 3), 500.0)])
    quantizer = LsqSpec().build(IntGrid(-127, 127), axis=0, mark="here.weight", channels=2).train()
    quantizer(weight).sum().backward()
    assert quantizer.scale.grad.tolist() == pytest.approx([-3.6 / 47.8121, 2286 / 47.8121], rel=1e-4)


def test_damping_leaves_the_value_alone():
    quantizer = LsqSpec().build(IntGrid(-7, 7), axis=None, mark="here")
    quantizer.set_scale(torch.tensor(0.37))
    x = torch.linspace(-4, 4, 101)[None]
    torch.testing.assert_close(quantizer.train()(x), quantizer.eval()(x))


@pytest.mark.parametrize("loss_of_y", [-1, 1])
def test_a_scale_that_stepped_below_zero_can_come_back_but_not_go_on(loss_of_y):
    """The gradient is that of the smallest scale: 7 codes in each of 3 places, damped by 1 / sqrt(3 * 7)."""
    quantizer = LsqSpec().build(IntGrid(-7, 7), axis=None, mark="here").train()
    quantizer.scale.data.fill_(-0.001)
    y = quantizer(torch.full((1, 3), 2.0))
    assert y.tolist() == [[7 * SMALLEST_SCALE] * 3]
    (loss_of_y * y.sum()).backward()  # a falling loss raises y, and the scale, if it is -y
    assert quantizer.scale.grad.item() == pytest.approx(min(0, loss_of_y * 21 / 21**0.5))


@pytest.mark.parametrize("loss_of_y", [-1, 1])
def test_a_scale_beyond_its_bound_can_come_back_but_not_go_on(loss_of_y):
    """9 / 0.4 = 22.5 is cut at 15, in 3 places, damped by 1 / sqrt(3 * 15)."""
    quantizer = LsqSpec().build(IntGrid(0, 15), axis=None, mark="here").train()
    quantizer.largest_scale = 0.4
    y = quantizer(torch.full((1, 3), 9.0))
    assert y.tolist() == [[pytest.approx(6.0)] * 3]
    (loss_of_y * y.sum()).backward()
    assert quantizer.scale.item() == 1.0
    assert quantizer.scale.grad.item() == pytest.approx(max(0, loss_of_y * 45 / 45**0.5))


def test_training_leaves_a_scale_near_its_bound():
    """The loss wants about 1 / 15, the bound is 1 / 4: what momentum carries beyond it stays near."""
    quantizer = LsqSpec().build(IntGrid(0, 15), axis=None, mark="here").train()
    quantizer.set_scale(torch.tensor(1.0))
    x = torch.rand(64, 100, generator=torch.Generator().manual_seed(0))
    optimizer = torch.optim.SGD(quantizer.parameters(), lr=0.1, momentum=0.9)
    for _ in range(300):
        optimizer.zero_grad()
        (10 * (quantizer(x) - x).square().mean()).backward()
        optimizer.step()
    assert 0 < quantizer.scale.item() < 0.25
