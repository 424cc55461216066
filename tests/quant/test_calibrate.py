import json
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from edgekd.errors import DataError
from edgekd.quant.calibrate import CALIBRATION_METHODS, calibrate
from edgekd.quant.lsq import LsqSpec
from edgekd.quant.placement import activation_quantizers, weight_quantizers
from edgekd.quant.prepare import prepare
from edgekd.quant.scheme import QuantScheme

GOLDEN = json.loads((Path(__file__).parents[1] / "golden" / "calibrate.json").read_text())


class Pass(nn.Module):
    """Hands its input, or the ReLU of it, to one quantizer."""

    def __init__(self, *, relu):
        super().__init__()
        self.relu = relu
        self.one = nn.Conv2d(1, 1, 1, bias=False)
        nn.init.ones_(self.one.weight)

    def forward(self, x):
        return F.relu(self.one(x)) if self.relu else self.one(x)


def linear(weight, bits):
    """Return a prepared layer whose weights are ``weight``, and its weight quantizer."""
    layer = nn.Linear(len(weight[0]), len(weight), bias=False)
    layer.weight.data = torch.tensor(weight, dtype=torch.float32)
    scheme = QuantScheme(weights=LsqSpec(bits=bits), first_layer_bits=bits, last_layer_bits=bits)
    example = torch.ones(2, len(weight[0]))
    student = prepare(nn.Sequential(layer), example, scheme=scheme)
    ((_, quantizer),) = weight_quantizers(student).values()
    return student, quantizer, example


@pytest.mark.parametrize("case", GOLDEN, ids=lambda case: case["id"])
def test_calibrate_gives_the_golden_activation_scale(case):
    scheme = QuantScheme(activations=LsqSpec(bits=case["bits"]))
    student = prepare(Pass(relu=case["relu"]), torch.zeros(2, 1, 1, 1), scheme=scheme)
    values = torch.tensor(case["values"] * case["repeat"] + [case.get("outlier", case["values"][0])])
    batches = torch.split(values.float().reshape(-1, 1, 1, 1), 10_000)
    calibrate(student, batches, case["method"])
    assert activation_quantizers(student)["one"].scale.item() == pytest.approx(case["scale"], rel=1e-6)


def test_minmax_gives_each_channel_its_largest_weight():
    student, quantizer, example = linear([[0.5, -1.27], [0.254, 0.0]], 8)
    calibrate(student, [example], "minmax")
    assert quantizer.scale.tolist() == pytest.approx([0.01, 0.002])


def test_mse_shrinks_the_range_of_a_channel_with_an_outlier():
    """Eight weights of 1 and one of 2 on the codes -1 0 1.

    Between 2/3 and 2 the error is 8 (1 - s)^2 + (2 - s)^2, least at s = (8 + 2) / (8 + 1) = 10/9, which is
    2 * (1 - 36/81): the 36th shrinking.
    """
    student, quantizer, example = linear([[1.0] * 8 + [2.0]], 2)
    calibrate(student, [example], "mse")
    assert quantizer.scale.tolist() == pytest.approx([10 / 9])


@pytest.mark.parametrize("method", CALIBRATION_METHODS)
def test_calibrate_observes_the_float_network(method):
    """A coarse quantizer in front must not change what the one behind it sees."""
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(2, 4, 3), nn.ReLU(), nn.Conv2d(4, 4, 3))
    x = torch.randn(16, 2, 8, 8)
    fine = prepare(network, x)
    coarse = prepare(network, x, scheme=QuantScheme(weights=LsqSpec(bits=2), first_layer_bits=2))
    for student in (fine, coarse):
        calibrate(student, [x], method)
    last = [activation_quantizers(student)["2"].scale for student in (fine, coarse)]
    assert torch.equal(last[0], last[1])


def test_calibrate_is_repeatable_and_keeps_everything_but_scales():
    torch.manual_seed(0)
    student = prepare(
        nn.Sequential(nn.Conv2d(2, 4, 3), nn.BatchNorm2d(4), nn.ReLU()), torch.randn(2, 2, 8, 8)
    )
    before = {name: value.clone() for name, value in student.state_dict().items()}
    batches = [torch.randn(4, 2, 8, 8) for _ in range(3)]
    calibrate(student, batches)
    once = {name: value.clone() for name, value in student.state_dict().items()}
    calibrate(student, batches)
    assert all(torch.equal(value, once[name]) for name, value in student.state_dict().items())
    changed = {name for name, value in once.items() if not torch.equal(value, before[name])}
    assert changed == {name for name in once if name.endswith("scale")}
    assert student.training


def test_calibrate_respects_the_bound_of_a_relu6():
    student = prepare(nn.Sequential(nn.Conv2d(1, 1, 1), nn.ReLU6()), torch.zeros(2, 1, 1, 1))
    calibrate(student, [torch.full((4, 1, 1, 1), 1e3), torch.full((4, 1, 1, 1), -1e3)], "minmax")
    assert activation_quantizers(student)["0"].scale.item() == pytest.approx(6 / 255)


@pytest.mark.parametrize("batches", [[], [torch.zeros(0, 2)]], ids=["none", "no rows"])
def test_calibrate_refuses_to_run_without_inputs(batches):
    student, _, _ = linear([[1.0, 2.0]], 8)
    with pytest.raises(DataError, match="no input to calibrate on"):
        calibrate(student, batches)


@pytest.mark.parametrize("broken", [float("nan"), float("inf")])
def test_calibrate_names_where_numbers_are_not_finite(broken):
    student, _, _ = linear([[1.0, 2.0]], 8)
    with pytest.raises(DataError, match="reach the quantizer 'input_1'"):
        calibrate(student, [torch.tensor([[1.0, 1.0], [broken, 1.0]])])
    student, quantizer, example = linear([[1.0, broken]], 8)
    with pytest.raises(DataError, match=r"0\.weight holds numbers that are not finite"):
        calibrate(student, [example])
    assert quantizer.scale.tolist() == [1.0]


def test_calibrate_gives_dead_tensors_a_positive_scale():
    student, quantizer, _ = linear([[0.0, 0.0], [1.27, 0.0]], 8)
    for method in CALIBRATION_METHODS:
        calibrate(student, [torch.zeros(2, 2)], method)
        assert (quantizer.scale > 0).all()
        assert all(made.scale > 0 for made in activation_quantizers(student).values())
