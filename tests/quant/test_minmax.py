import pytest
import torch

from edgekd.core.grid import IntGrid
from edgekd.quant.minmax import MinMaxSpec


def test_the_largest_weight_of_a_channel_is_the_highest_code():
    """Channel 0: scale 0.7 / 7 = 0.1, 0.26 -> 3 codes; channel 1: scale 1.4 / 7 = 0.2, 0.26 -> 1 code."""
    quantizer = MinMaxSpec(bits=4).build(IntGrid(-7, 7), axis=0, mark="w", channels=2)
    w = torch.tensor([[0.26, -0.7], [0.26, -1.4]], requires_grad=True)
    y = quantizer(w)
    assert y[0].tolist() == pytest.approx([0.3, -0.7])
    assert y[1].tolist() == pytest.approx([0.2, -1.4])
    y.sum().backward()
    assert w.grad.tolist() == [[1, 1]] * 2  # the largest too


def test_an_activation_range_moves_with_the_extremes_in_train_mode_only():
    """codes -128..127: the extreme of -256 and 100 is max(100 / 127, 256 / 128) = 2 per code."""
    quantizer = MinMaxSpec().build(IntGrid(-128, 127), axis=None, mark="a")
    quantizer.set_scale(torch.tensor(1.0))
    x = torch.tensor([-256.0, 100.0])
    assert quantizer.eval()(x).tolist() == [-128, 100]
    quantizer.train()(x)
    assert quantizer.scale.item() == pytest.approx(1.01)  # 0.99 * 1 + 0.01 * 2
