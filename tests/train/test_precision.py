import pytest
import torch
from torch import nn

from edgekd.quant.prepare import prepare
from edgekd.quant.scheme import QuantScheme
from edgekd.train.options import TrainSpec
from edgekd.train.precision import computing

CPU = torch.device("cpu")


def _layer() -> nn.Linear:
    layer = nn.Linear(1, 1, bias=False)
    nn.init.constant_(layer.weight, 1.0)
    return layer


@pytest.mark.parametrize(("precision", "expected"), [("bf16", 1.0), ("float32", 1.0 + 2**-9)])
def test_a_float_network_computes_in_the_precision_of_the_spec(precision: str, expected: float) -> None:
    """bfloat16 has 7 bits behind the leading one: 1 + 2**-9 is rounded to 1."""
    layer = _layer()
    with torch.no_grad(), computing(layer, TrainSpec(precision=precision), CPU):
        assert float(layer(torch.tensor([[1.0 + 2**-9]]))) == expected


def test_a_quantized_network_stays_in_float32() -> None:
    student = prepare(nn.Sequential(_layer()), torch.ones(2, 1), scheme=QuantScheme())
    with computing(student, TrainSpec(precision="bf16"), CPU):
        assert torch.is_autocast_enabled("cpu") is False
    with computing(_layer(), TrainSpec(precision="bf16"), CPU):
        assert torch.is_autocast_enabled("cpu") is True
