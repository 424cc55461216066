import pytest
import torch
from torch import nn
from torch.nn.utils import prune

from edgekd.errors import ExportError, SchemeError
from edgekd.quant.calibrate import calibrate
from edgekd.quant.placement import weight_quantizers
from edgekd.quant.prepare import prepare


def network():
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(144, 3))


X = torch.randn(4, 3, 8, 8, generator=torch.Generator().manual_seed(0))


def test_prepare_leaves_the_network_alone():
    model = network()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    prepare(model, X).get_parameter("0.parametrizations.weight.original").data.zero_()
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert type(model[0]) is nn.Conv2d


def test_prepare_keeps_parameter_names():
    names = set(network().state_dict())
    student = prepare(network(), X).state_dict()
    kept = {name.replace("parametrizations.weight.original", "weight") for name in student}
    assert names <= kept
    assert {name for name in student if not name.endswith("scale")} - names == {
        "0.parametrizations.weight.original",
        "4.parametrizations.weight.original",
    }


def test_prepared_network_is_near_the_float_network():
    model = network().eval()
    student = prepare(model, X)
    calibrate(student, [X], "minmax")
    difference = (student.eval()(X) - model(X)).abs().max()
    assert 0 < difference < 0.05 * model(X).abs().max()


def test_prepare_returns_a_student_in_train_mode():
    assert prepare(network().eval(), X).training


def test_state_of_a_student_loads_strictly():
    student = prepare(network(), X)
    calibrate(student, [X])
    fresh = prepare(network(), X)
    fresh.load_state_dict(student.state_dict())
    assert torch.equal(fresh.eval()(X), student.eval()(X))


def test_weight_gradients_pass_through_the_quantizers():
    student = prepare(network(), X)
    calibrate(student, [X])
    student(X).square().sum().backward()
    for layer, quantizer in weight_quantizers(student).values():
        assert layer.parametrizations["weight"].original.grad.abs().sum() > 0
        assert quantizer.scale.grad.abs().sum() > 0


def test_prepare_remembers_its_profile():
    assert prepare(network(), X, "portable").meta["profile"] == "portable"
    with pytest.raises(SchemeError, match="unknown profile 'arm'") as error:
        prepare(network(), X, "arm")
    assert "portable" in error.value.fix


def test_prepare_refuses_a_network_that_cannot_run():
    with pytest.raises(ExportError, match="cannot run on 5 inputs like the example: RuntimeError"):
        prepare(network(), torch.randn(2, 7, 8, 8))


def test_prepare_refuses_weights_that_a_hook_makes():
    with pytest.raises(ExportError, match="computed by a hook") as error:
        prepare(nn.Sequential(prune.identity(nn.Conv2d(3, 4, 1), "weight")), X)
    assert error.value.where == "0"


def test_prepare_refuses_what_has_no_rule():
    with pytest.raises(SchemeError, match="no quantization rule for elu") as error:
        prepare(nn.Sequential(nn.Conv2d(3, 4, 3), nn.ELU()), X)
    assert error.value.where.startswith("1")


def test_norms_without_gains_that_read_the_same_stay_two():
    """They have no parameters that would tell them apart, but statistics of their own."""

    class Two(nn.Module):
        def __init__(self):
            super().__init__()
            self.left, self.right = nn.Conv2d(3, 4, 1), nn.Conv2d(3, 4, 1)
            self.one, self.other = nn.BatchNorm2d(3, affine=False), nn.BatchNorm2d(3, affine=False)
            self.other.running_mean += 1

        def forward(self, x):
            return self.left(self.one(x)) + self.right(self.other(x))

    model = Two().eval()
    student = prepare(model, X)
    calibrate(student, [X], "minmax")
    torch.testing.assert_close(student.eval()(X), model(X), atol=0.1, rtol=0)
