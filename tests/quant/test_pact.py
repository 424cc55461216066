import pytest
import torch

from edgekd.core.grid import IntGrid
from edgekd.quant.pact import PactSpec


def quantizer(grid, *, alpha, decay=0.0):
    made = PactSpec(decay=decay).build(grid, axis=None, mark="a")
    made.set_scale(torch.tensor(alpha / grid.qmax))
    return made.train()


def test_clips_at_alpha_with_the_papers_gradients():
    """2 bits, alpha = 3, step 1: 0.6 -> 1, 2.4 -> 2, 3 and 5 -> 3, -1 -> 0.

    d/dx = 1 in 0 <= x < 3; d/dalpha = 1 for 3 and for 5, weighted 1 and 10.
    """
    made = quantizer(IntGrid(0, 3), alpha=3.0)
    x = torch.tensor([0.6, 2.4, 3.0, 5.0, -1.0], requires_grad=True)
    y = made(x)
    assert y.tolist() == [1, 2, 3, 3, 0]
    (y * torch.tensor([1.0, 1.0, 1.0, 10.0, 1.0])).sum().backward()
    assert x.grad.tolist() == [1, 1, 0, 0, 0]
    assert made.alpha.grad.item() == pytest.approx(11)


def test_the_penalty_is_added_to_the_gradient_of_alpha():
    """Nothing is clipped; 0.1 * alpha = 0.3."""
    made = quantizer(IntGrid(0, 3), alpha=3.0, decay=0.1)
    made(torch.tensor([1.0])).sum().backward()
    assert made.alpha.grad.item() == pytest.approx(0.3)


def test_signed_activations_are_clipped_at_both_ends():
    """2 bits, codes -2..1, alpha = 1: below -2 the gradient of alpha is -2."""
    made = quantizer(IntGrid(-2, 1), alpha=1.0)
    y = made(torch.tensor([-5.0, -1.2, 0.3, 4.0]))
    assert y.tolist() == [-2, -1, 0, 1]
    (y * torch.tensor([1.0, 1.0, 1.0, 10.0])).sum().backward()
    assert made.alpha.grad.item() == pytest.approx(10 - 2)


def test_the_range_ends_where_a_relu6_does():
    made = quantizer(IntGrid(0, 3), alpha=9.0)
    made.largest_scale = 2.0
    assert made(torch.tensor([8.0])).item() == 6


def test_weights_are_refused():
    assert "activations only" in PactSpec().misuse("weights")
