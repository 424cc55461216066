"""What every kind of quantizer promises; a new member of the union is tested the moment it is listed."""

from typing import get_args

import numpy as np
import onnx_ir as ir
import pytest
import torch
from torch import nn

from edgekd.core.grid import IntGrid
from edgekd.export.export_marked import fake_quant_codes
from edgekd.export.onnx_file import export_onnx
from edgekd.lower.float_reference import activation_marks, float_reference
from edgekd.lower.quantize_weights import QuantizeWeightsPass
from edgekd.quant.calibrate import calibrate
from edgekd.quant.placement import activation_quantizers, weight_quantizers
from edgekd.quant.prepare import prepare
from edgekd.quant.scheme import QuantScheme
from edgekd.runtimes.onnx_runtime import open_session, run_all
from edgekd.spec import Quantizer

KINDS = get_args(get_args(Quantizer)[0])
GRIDS = (IntGrid(0, 255), IntGrid(-128, 127), IntGrid(-7, 7), IntGrid(-1, 1))

pytestmark = pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.model_fields["kind"].default)


def built(kind, grid, *, axis=None, channels=1):
    quantizer = kind().build(grid, axis=axis, mark="here", channels=channels)
    quantizer.set_scale(torch.rand(quantizer.scale.shape, generator=torch.Generator().manual_seed(0)) + 0.05)
    return quantizer


def tensor(*shape):
    return 20 * torch.randn(shape, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("grid", GRIDS, ids=str)
@pytest.mark.parametrize("training", [True, False])
def test_codes_are_on_the_grid(kind, grid, training):
    quantizer = built(kind, grid).train(training)
    codes = quantizer(50 * tensor(4, 100)) / quantizer.scale
    torch.testing.assert_close(codes, codes.round(), atol=1e-4, rtol=0)
    assert (codes.round().min(), codes.round().max()) == (grid.qmin, grid.qmax)


@pytest.mark.parametrize("grid", GRIDS, ids=str)
def test_quantizers_are_idempotent(kind, grid):
    quantizer = built(kind, grid).eval()
    once = quantizer(tensor(4, 100))
    assert torch.equal(quantizer(once), once)


def test_each_channel_has_its_own_scale(kind):
    quantizer = built(kind, IntGrid(-7, 7), axis=0, channels=3).eval()
    weight = tensor(3, 5, 2, 2)
    alone = [
        kind().build(IntGrid(-7, 7), axis=None, mark="here").eval().requires_grad_(False) for _ in range(3)
    ]
    for channel, single in enumerate(alone):
        single.set_scale(quantizer.scale[channel])
    expected = torch.stack([single(weight[channel]) for channel, single in enumerate(alone)])
    assert torch.equal(quantizer(weight), expected)


@pytest.mark.parametrize("training", [True, False])
def test_the_gradient_passes_inside_the_range_only(kind, training):
    quantizer = built(kind, IntGrid(-7, 7)).train(training)
    x = tensor(4, 100).requires_grad_()
    quantizer(x).sum().backward()
    v = x.detach() / quantizer.scale.detach()
    inside = v.abs() <= 7
    assert inside.any() and not inside.all()
    assert torch.equal(x.grad, inside.float())


def test_a_trained_scale_gets_a_gradient(kind):
    quantizer = built(kind, IntGrid(-7, 7)).train()
    if not list(quantizer.parameters()):
        pytest.skip("its scale is not trained")
    quantizer(tensor(4, 100)).square().sum().backward()
    for parameter in quantizer.parameters():
        assert parameter.grad.isfinite().all()
        assert parameter.grad.abs().sum() > 0


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """Return a student of each kind and its marked graph."""
    made = {}
    for kind in KINDS:
        torch.manual_seed(0)
        scheme = QuantScheme(weights=kind(bits=4), activations=kind(), first_layer_bits=4, last_layer_bits=4)
        x = torch.randn(4, 3, 8, 8)
        student = prepare(nn.Sequential(nn.Conv2d(3, 6, 3)), x, scheme=scheme)
        calibrate(student, [x])
        path = tmp_path_factory.mktemp("marked") / "marked.onnx"
        export_onnx(student, x[:2], path)
        made[kind] = student, path, x
    return made


def test_the_mark_of_an_activation_equals_eager_bit_by_bit(kind, exported):
    student, path, x = exported[kind]
    quantizer = activation_quantizers(student)["input_1"]
    x.view(-1)[:64] = (torch.arange(-32, 32) + 0.5) * quantizer.scale.detach()  # ties
    reference = ir.to_proto(float_reference(ir.load(path))).SerializeToString()
    marks = {mark.name: mark for mark in activation_marks(ir.load(path))}
    session = open_session(reference, optimize=False)
    feeds = {value.name: x.numpy() for value in session.get_inputs()}
    unrounded = run_all(session, feeds)[marks["input_1"].codes_name]
    codes = np.clip(np.round(unrounded), quantizer.grid.qmin, quantizer.grid.qmax)
    assert np.array_equal(codes, fake_quant_codes(student, x)[0]["input_1"])
    assert np.array_equal(codes * np.float32(marks["input_1"].scale), quantizer(x).detach().numpy())


def test_the_mark_of_a_weight_equals_eager_bit_by_bit(kind, exported):
    student, path, _ = exported[kind]
    layer, _ = weight_quantizers(student)["0.weight"]
    marked = ir.load(path)
    QuantizeWeightsPass()(marked)
    codes = marked.graph.initializers["0.weight"].const_value.numpy()
    scale = marked.graph.initializers["0.weight.scale"].const_value.numpy()
    assert codes.dtype == np.int8
    assert np.abs(codes).max() == 7
    assert np.array_equal(codes * scale.reshape(-1, 1, 1, 1), layer.weight.detach().numpy())
