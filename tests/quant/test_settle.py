"""Biases in whole steps of the accumulator, and channels that BatchNorm has blown up."""

import copy

import pytest
import torch
from torch import nn

from edgekd.export.export import export
from edgekd.quant.calibrate import calibrate
from edgekd.quant.deploy import deploy
from edgekd.quant.placement import activation_quantizers, weight_quantizers
from edgekd.quant.prepare import prepare
from edgekd.quant.settle import settle_biases
from edgekd.runtimes.onnx_runtime_target import OnnxRuntimeTarget
from edgekd.runtimes.target import BuiltModel
from edgekd.verify.verify_engine import verify_graph


class BlownUp(nn.Module):
    """A depthwise layer of three channels: constant, nearly constant and alive, all with a gain of 1."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(1, 3, 1)
        self.depthwise = nn.Conv2d(3, 3, 3, groups=3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(3)
        self.head = nn.Conv2d(3, 2, 1)

    def forward(self, x):
        x = torch.relu(self.stem(x))
        return self.head(torch.relu(self.norm(self.depthwise(x))))


@pytest.fixture(scope="module")
def images():
    return torch.rand(32, 1, 8, 8, generator=torch.Generator().manual_seed(0))


@pytest.fixture(scope="module")
def student(images):
    torch.manual_seed(0)
    network = BlownUp().eval()
    with torch.no_grad():
        network.stem.weight[:, 0, 0, 0] = torch.tensor([1.0, 0.01, 4.0])
        network.stem.bias[:] = torch.tensor([-5.0, 0.0, 0.0])  # channel 0 is 0 behind the ReLU
        network.depthwise.weight.copy_(torch.rand(3, 1, 3, 3) + 0.5)
        behind = network.depthwise(torch.relu(network.stem(images)))
        network.norm.running_mean.copy_(behind.mean((0, 2, 3)))
        network.norm.running_var.copy_(behind.var((0, 2, 3)))
        network.norm.bias[:] = torch.tensor([0.777, 0.333, 0.5])
    student = prepare(network, images[:2])
    calibrate(student, [images], "minmax")
    deploy(student)
    return student


def test_a_constant_channel_keeps_its_bias_in_the_engine(student, images, tmp_path):
    """It was rounded to the accumulator's step, here 38 codes of the result."""
    model = export(student, images[:8], tmp_path)
    engine = BuiltModel(OnnxRuntimeTarget(), model)
    found = verify_graph(engine, images[:8].numpy(), marked=tmp_path / "marked.onnx")
    assert [layer for layer in found.layers if layer.off_by_more] == []
    assert found.oracle.mismatches == 0 and found.coverage.fallbacks == ()


def test_settle_biases_takes_the_gain_off_constant_channels_only(student):
    settled = copy.deepcopy(student)
    settle_biases(settled)
    assert settled.norm.weight.tolist() == [0, 1, 1]
    assert settled.norm.bias[0] == student.norm.bias[0]
    assert settled.norm.weight is not student.norm.weight and student.norm.weight[0] == 1
    once = copy.deepcopy(settled.state_dict())
    settle_biases(settled)
    assert all(torch.allclose(value, once[name], rtol=1e-6) for name, value in settled.state_dict().items())


def test_settle_biases_moves_the_mean_of_a_norm_without_a_bias(images):
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(1, 3, 3, bias=False), nn.BatchNorm2d(3, affine=False), nn.ReLU())
    network(images)
    student = prepare(network.eval(), images[:2])
    calibrate(student, [images], "minmax")
    deploy(student)
    before = student.get_submodule("1").running_mean.clone()
    settle_biases(student)
    norm = student.get_submodule("1")
    (_, weights) = weight_quantizers(student)["0.weight"]
    steps = norm.running_mean / (activation_quantizers(student)["input_1"].scale * weights.scale)
    assert torch.allclose(steps, steps.round(), atol=1e-3)
    assert not torch.equal(norm.running_mean, before) and torch.allclose(norm.running_mean, before, atol=1e-3)


def test_settle_biases_makes_every_bias_a_whole_number_of_steps(student):
    settled = copy.deepcopy(student)
    settle_biases(settled)
    (_, weights) = weight_quantizers(settled)["head.weight"]
    steps = settled.head.bias / (activation_quantizers(settled)["depthwise"].scale * weights.scale)
    assert torch.allclose(steps, steps.round(), atol=1e-3)
    assert not torch.equal(settled.head.bias, student.head.bias)
    assert torch.allclose(settled.head.bias, student.head.bias, atol=1e-3)
