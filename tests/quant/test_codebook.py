import pytest
import torch

from edgekd.quant.codebook import CodebookSpec


def quantizer(points, *, snapped=True, channels=1):
    spec = CodebookSpec(bits=2, snapped=snapped)
    made = spec.build(spec.weight_grid, axis=0, mark="w", channels=channels)
    made.points.data = torch.tensor(points)
    return made.train()


def test_weights_go_to_the_nearest_point_and_hand_it_their_gradient():
    """Points 0.1 1 -1 -0.2, in order -1 -0.2 0.1 1, codes -127 -25 13 127; middles -76 -6 70 of 127.

    Channel 0 has alpha 1: 0.9 -> 1, 0.2 -> 13/127, -0.1 -> -25/127 (-12.7 < -6), -0.9 -> -1.
    Channel 1 has alpha 10: 2 -> 130/127.  Gradients g = 1 2 3 4 5: the point 0.1 gets 2 and 10 * 5.
    """
    made = quantizer([0.1, 1.0, -1.0, -0.2], channels=2)
    made.set_scale(torch.tensor([1 / 127, 10 / 127]))
    w = torch.tensor([[0.9, 0.2, -0.1, -0.9], [2.0, 10.0, 10.0, 10.0]], requires_grad=True)
    y = made(w)
    assert y[0].tolist() == pytest.approx([1, 13 / 127, -25 / 127, -1])
    assert y[1, 0].item() == pytest.approx(130 / 127)
    g = torch.tensor([[1.0, 2.0, 3.0, 4.0], [5.0, 0.0, 0.0, 0.0]])
    (y * g).sum().backward()
    assert made.points.grad.tolist() == pytest.approx([52, 1, 4, 3])
    assert torch.equal(w.grad, g)


def test_points_start_at_the_percentiles_of_the_weights():
    """u = w / 4 sorted: -1 -0.5 0 0.25 0.5 0.75 1; 4 points at places 0 2 4 6."""
    made = quantizer([0.0] * 4)
    made.start(torch.tensor([[4.0, -4.0, 0.0, 3.0, 2.0, 1.0, -2.0]]), scale=torch.ones(1))
    assert made.points.tolist() == [-1, 0, 0.5, 1]
    assert made.scale.tolist() == pytest.approx([4 / 127])


def test_percentiles_lie_between_weights_where_they_have_to():
    """Two weights, places 0 1/3 2/3 1 between -1 and 1."""
    made = quantizer([0.0] * 4)
    made.start(torch.tensor([[1.0, -1.0]]), scale=torch.ones(1))
    assert made.points.tolist() == pytest.approx([-1, -1 / 3, 1 / 3, 1])


def test_exact_points_lie_between_the_codes():
    made = quantizer([-1.0, -0.2, 0.1, 1.0], snapped=False)
    made.set_scale(torch.tensor([1 / 127]))
    assert made(torch.tensor([[0.2]])).item() == pytest.approx(0.1, abs=1e-7)
    assert "set snapped: true" in made.refusal


def test_size_counts_indices_table_and_scales():
    """64 x 144 weights of 4 bits, 16 points of 8 or 32 bits, 64 scales."""
    assert CodebookSpec(bits=4).size_bits((64, 16, 3, 3)) == 9216 * 4 + 16 * 8 + 64 * 32
    assert CodebookSpec(bits=4, snapped=False).size_bits((64, 16, 3, 3)) == 9216 * 4 + 16 * 32 + 64 * 32
