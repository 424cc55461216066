import pytest
import torch
from pydantic import ValidationError

from edgekd.core.grid import IntGrid
from edgekd.quant.calibrated import CalibratedSpec
from edgekd.quant.quantizer import SMALLEST_SCALE


def quantizer(axis=None, channels=1):
    return CalibratedSpec().build(IntGrid(-7, 7), axis=axis, mark="here", channels=channels)


def test_scale_starts_as_one_per_tensor_or_channel():
    assert quantizer().scale.shape == ()
    assert quantizer(axis=0, channels=3).scale.tolist() == [1, 1, 1]


def test_set_scale_keeps_scales_positive():
    made = quantizer(axis=0, channels=3)
    made.set_scale(torch.tensor([0.5, 0.0, -1.0]))
    assert made.scale.tolist() == [0.5, SMALLEST_SCALE, SMALLEST_SCALE]


def test_set_scale_respects_the_largest_scale():
    made = quantizer()
    made.largest_scale = 0.25
    made.set_scale(torch.tensor(3.0))
    assert made.scale.item() == 0.25


def test_forward_uses_the_bounded_scale():
    made = quantizer()
    made.scale.fill_(3.0)
    made.largest_scale = 0.5
    assert made(torch.tensor([1.3, 100.0])).tolist() == [1.5, 3.5]


def test_forward_computes_in_float32_whatever_autocast_makes_of_the_rest():
    made = quantizer()
    made.set_scale(torch.tensor(0.001))
    x = torch.tensor([0.0033], dtype=torch.bfloat16)
    with torch.autocast("cpu", torch.bfloat16):
        y = made(x)
    assert y.dtype == torch.float32
    assert y.item() == pytest.approx(0.003)


@pytest.mark.parametrize("bits", [1, 9])
def test_spec_refuses_bits_that_no_runtime_stores(bits):
    with pytest.raises(ValidationError, match="bits"):
        CalibratedSpec(bits=bits)
