import pytest
import torch
import torch.nn.functional as F
from torch import nn

from edgekd.errors import ExportError
from edgekd.quant.operators import onnx_op
from edgekd.quant.tracing import decompose, trace
from edgekd.zoo.pixels import ImageNetwork, PixelGrid


class Composite(nn.Module):
    def __init__(self):
        super().__init__()
        self.swish = nn.Hardswish()
        self.silu = nn.SiLU()

    def forward(self, x):
        return self.silu(self.swish(x) + F.hardsigmoid(x))


class Branching(nn.Module):
    def forward(self, x):
        if x.sum() > 0:
            return x
        return -x


def test_trace_keeps_modules_and_their_paths():
    network = nn.Sequential(nn.Conv2d(3, 4, 1), nn.Sequential(nn.ReLU()))
    assert [name for name, _ in trace(network).named_modules()] == ["", "0", "1", "1.0"]


def test_trace_sees_the_pixel_grid_as_one_operation():
    traced = trace(ImageNetwork(PixelGrid.like(), nn.Sequential(nn.Conv2d(3, 4, 1))))
    modules = dict(traced.named_modules())
    calls = [onnx_op(node, modules) for node in traced.graph.nodes if node.op == "call_module"]
    assert calls == ["Pixels", "Conv"]


def test_trace_names_the_line_that_depends_on_values():
    with pytest.raises(ExportError, match="TraceError") as error:
        trace(Branching())
    assert "test_tracing.py" in error.value.where
    assert error.value.where.endswith("if x.sum() > 0:")


def test_decompose_leaves_only_operators_with_kernels():
    traced = trace(Composite())
    decompose(traced)
    modules = dict(traced.named_modules())
    calls = {onnx_op(node, modules) for node in traced.graph.nodes if node.op.startswith("call_")}
    assert calls == {"Add", "Mul", "Clip", "Sigmoid"}


def test_decompose_changes_no_number():
    x = torch.linspace(-8, 8, 1001)
    traced = trace(Composite())
    decompose(traced)
    torch.testing.assert_close(traced(x), Composite()(x), atol=1e-5, rtol=1e-6)
