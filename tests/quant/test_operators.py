import pytest
import torch
import torch.nn.functional as F
from torch import nn

from edgekd.core.rules import rules_for
from edgekd.errors import SchemeError
from edgekd.quant.operators import onnx_op, supported_operations
from edgekd.quant.tracing import trace


class Padded(nn.Module):
    def __init__(self, **options):
        super().__init__()
        self.options = options

    def forward(self, x):
        return F.pad(x, (1, 1, 1, 1), **self.options)


class Inner(nn.Module):
    def __init__(self):
        super().__init__()
        self.block = nn.Sequential(nn.Conv2d(3, 4, 1), nn.ConvTranspose2d(4, 3, 2))

    def forward(self, x):
        return self.block(x).abs()


def operators(network):
    traced = trace(network, torch.zeros(2, 3, 8, 8))
    modules = dict(traced.named_modules())
    return [onnx_op(node, modules) for node in traced.graph.nodes if node.op.startswith("call_")]


def test_every_supported_operation_has_a_rule():
    assert [name for name in supported_operations() if not rules_for(name)] == []


def test_an_unknown_module_is_named_with_its_path():
    with pytest.raises(SchemeError) as error:
        operators(Inner())
    assert error.value.what == "no quantization rule for conv_transpose2d"
    assert error.value.where.startswith("block.1: ")
    assert error.value.where.endswith("return self.block(x).abs()")
    assert "Conv, Expand" in error.value.fix


def test_an_unknown_method_is_named():
    class Method(nn.Module):
        def forward(self, x):
            return x.cumsum(1)

    with pytest.raises(SchemeError, match=r"no quantization rule for Tensor\.cumsum"):
        operators(Method())


@pytest.mark.parametrize("options", [{}, {"value": 0.0}, {"mode": "reflect"}])
def test_padding_with_zero_has_a_rule(options):
    assert operators(Padded(**options)) == ["Pad"]


def test_padding_with_another_number_is_refused():
    with pytest.raises(SchemeError, match=r"padding with -1\.0 has no integer form"):
        operators(Padded(value=-1.0))


@pytest.mark.parametrize(
    ("layer", "what"),
    [
        (nn.AvgPool2d(2, divisor_override=3), "divisor_override"),
        (nn.AvgPool2d(3, ceil_mode=True, divisor_override=3), "divisor_override"),
        (nn.MaxPool2d(1, stride=4, ceil_mode=True), "would start behind the 8 pixels"),
        (nn.AvgPool2d(1, 4, ceil_mode=True, count_include_pad=False), "would start behind the 8 pixels"),
        (nn.BatchNorm2d(3, track_running_stats=False), "without running statistics"),
    ],
)
def test_layers_without_an_integer_form_are_refused(layer, what):
    with pytest.raises(SchemeError, match=what):
        operators(nn.Sequential(layer))


def test_functions_methods_and_modules_speak_the_same_words():
    class Same(nn.Module):
        def forward(self, x):
            return torch.relu(F.relu(x.relu())) + x.flatten(1).view(-1, 3, 8, 8).sigmoid().add(1.0)

    assert operators(Same()) == ["Relu"] * 3 + ["Flatten", "Reshape", "Sigmoid", "Add", "Add"]
