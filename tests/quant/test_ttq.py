import pytest
import torch

from edgekd.quant.ttq import TtqSpec


def quantizer(channels=1):
    return TtqSpec().build(TtqSpec().weight_grid, axis=0, mark="w", channels=channels).train()


def test_the_larger_level_is_the_highest_code():
    """Wp = 0.8, Wn = 0.5: codes 127 and -round(127 * 0.5 / 0.8) = -79; threshold 0.05 * 2 = 0.1."""
    made = quantizer()
    made.levels.data = torch.tensor([0.8, 0.5])
    w = torch.tensor([[2.0, 0.05, -0.3, -0.1]])
    assert made(w)[0].tolist() == pytest.approx([0.8, 0, -0.8 * 79 / 127, 0])
    made.levels.data = torch.tensor([0.5, 0.8])
    assert made(w)[0].tolist() == pytest.approx([0.8 * 79 / 127, 0, -0.8, 0])


def test_gradients_are_the_papers():
    """g = 1 2 3 4: dWp = 1, dWn = -3; dw = Wp * 1, 2, Wn * 3, 4 with Wn = 0.8 * 79 / 127 as it is held."""
    made = quantizer()
    made.levels.data = torch.tensor([0.8, 0.5])
    w = torch.tensor([[2.0, 0.05, -0.3, -0.1]], requires_grad=True)
    (made(w) * torch.tensor([[1.0, 2.0, 3.0, 4.0]])).sum().backward()
    assert made.levels.grad.tolist() == [1, -3]
    assert w.grad[0].tolist() == pytest.approx([0.8, 2, 3 * 0.8 * 79 / 127, 4])


def test_levels_start_at_the_means_that_they_stand_for():
    """|w| above 0.05 max: 3 1 2, mean 2 = the unit; channel 1 is half of that: unit 1.

    In units of the channel: positive 1.5 and 0.5, mean 1; negative 1 and 1.
    """
    made = quantizer(channels=2)
    w = torch.tensor([[3.0, 1.0, -2.0, 0.1], [1.5, 0.5, -1.0, 0.0]])
    made.start(w, scale=torch.ones(2))
    assert made.unit.tolist() == pytest.approx([2, 1])
    assert made.levels.tolist() == pytest.approx([1, 1])
    assert made(w).tolist() == [pytest.approx([2, 2, -2, 0]), pytest.approx([1, 1, -1, 0])]


def test_the_unit_of_a_channel_multiplies_levels_and_gradients():
    made = quantizer(channels=2)
    made.set_scale(torch.tensor([1.0, 10.0]))
    (made(torch.tensor([[1.0], [1.0]]))).sum().backward()
    assert made.levels.grad.tolist() == [11, 0]


def test_a_level_that_stepped_below_its_bound_can_come_back():
    made = quantizer()
    made.levels.data = torch.tensor([1.0, -3.0])
    y = made(torch.tensor([[1.0, -1.0]]))
    assert y[0].tolist() == pytest.approx([1, -0.25], abs=0.002)
    y.sum().backward()
    assert made.levels.grad.tolist() == [1, -1]


def test_other_bits_and_activations_are_refused():
    assert "2 bits, not 8" in TtqSpec(bits=8).misuse("weights")
    assert "weights only" in TtqSpec().misuse("activations")
