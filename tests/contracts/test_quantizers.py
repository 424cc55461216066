"""What every kind of quantizer promises; a new member of the union is tested the moment it is listed."""

from typing import NamedTuple

import numpy as np
import onnx_ir as ir
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from edgekd.core.grid import IntGrid
from edgekd.core.union import members_by_kind
from edgekd.errors import SchemeError
from edgekd.export.export_marked import fake_quant_codes
from edgekd.export.onnx_file import export_onnx
from edgekd.lower.float_reference import activation_marks, float_reference
from edgekd.lower.quantize_weights import QuantizeWeightsPass
from edgekd.quant.calibrate import calibrate, held_at_zero
from edgekd.quant.deploy import deploy
from edgekd.quant.dorefa import DorefaSpec
from edgekd.quant.lsq import LsqSpec
from edgekd.quant.placement import activation_quantizers, weight_quantizers
from edgekd.quant.prepare import prepare
from edgekd.quant.quantizer import ShapedQuantizer
from edgekd.quant.scheme import QuantScheme
from edgekd.runtimes.onnx_runtime import open_session, run_all
from edgekd.unions import Quantizer

KINDS = members_by_kind(Quantizer)
ACTIVATION_GRIDS = (IntGrid(0, 15), IntGrid(-128, 127))


def tensor(seed, size):
    return size * torch.randn((4, 5, 3, 3), generator=torch.Generator().manual_seed(seed))


class Case(NamedTuple):
    """One quantizer: weights with an axis, activations without."""

    spec: object
    grid: IntGrid
    axis: int | None

    def build(self):
        """Return it, started from a float tensor of 4 channels."""
        made = self.spec.build(self.grid, axis=self.axis, mark="here", channels=4)
        scale = tensor(0, 1.0).abs().flatten(1).amax(1) / self.grid.qmax
        if self.axis is None:
            made.set_scale(scale.mean())
        else:
            made.start(tensor(0, 1.0), scale)
        return made


def _cases():
    for name, kind in KINDS.items():
        for bits in (2, 4, 8):
            if not kind(bits=bits).misuse("weights"):
                spec = kind(bits=bits)
                yield pytest.param(Case(spec, spec.weight_grid, 0), id=f"{name}-w{bits}")
        for grid in ACTIVATION_GRIDS:
            if not kind().misuse("activations"):
                yield pytest.param(Case(kind(), grid, None), id=f"{name}-a{grid.qmin}..{grid.qmax}")


def bends(case):
    """Whether weights go through a function that is not linear, which bends them again the next time."""
    return isinstance(case.spec, DorefaSpec) and case.axis is not None


CASES = list(_cases())
ONE_EACH = list({(type(case.values[0].spec), case.values[0].axis): case for case in CASES}.values())
cases = pytest.mark.parametrize("case", CASES)
any_tensor = given(seed=st.integers(0, 99), size=st.floats(0.01, 100))
few = settings(max_examples=5, deadline=None, derandomize=True)


def codes_of(quantizer, x):
    values = quantizer(x)
    scale = quantizer.eval().scale_for(x)  # in train mode asking may move it
    return (values / quantizer.per_channel(scale, x)).detach()


@pytest.mark.parametrize("case", [case for case in CASES if not case.values[0].build().refusal])
@any_tensor
@few
def test_codes_are_on_the_grid(case, seed, size):
    quantizer = case.build()
    for training in (True, False):
        codes = codes_of(quantizer.train(training), tensor(seed, size))
        torch.testing.assert_close(codes, codes.round(), atol=1e-4, rtol=0)
        assert case.grid.qmin <= codes.round().min() and codes.round().max() <= case.grid.qmax


@pytest.mark.parametrize("case", [case for case in CASES if not bends(case.values[0])])
@any_tensor
@few
def test_quantizing_twice_is_quantizing_once(case, seed, size):
    quantizer = case.build().eval()
    once = quantizer(tensor(seed, size)).detach()
    torch.testing.assert_close(quantizer(once), once, rtol=1e-6, atol=0)


@cases
def test_values_are_float32_and_the_same_under_autocast(case):
    quantizer, x = case.build().eval(), tensor(1, 1.0).bfloat16()
    plain = quantizer(x.float())
    with torch.autocast("cpu", torch.bfloat16):
        mixed = quantizer(x)
    assert mixed.dtype == torch.float32
    assert torch.equal(mixed, plain)


@pytest.mark.parametrize(
    "case", [case for case in ONE_EACH if case.values[0].axis == 0 and not case.values[0].build().refusal]
)
def test_one_channel_does_not_change_another(case):
    x, quantizer = tensor(1, 1.0), case.build()
    changed = torch.cat([x[:3], 100 * x[3:]])
    assert torch.equal(quantizer(changed)[:3], quantizer(x)[:3])


@cases
def test_the_gradient_passes_inside_the_range(case):
    quantizer = case.build().train()
    x = tensor(1, 1.5).requires_grad_()
    values = quantizer(x)
    values.sum().backward()
    assert x.grad.isfinite().all()
    if not isinstance(quantizer, ShapedQuantizer):
        v = x / quantizer.per_channel(quantizer.eval().scale_for(x), x)
        assert torch.equal(x.grad, ((v >= case.grid.qmin) & (v <= case.grid.qmax)).float())
    for parameter in quantizer.parameters():
        assert parameter.grad.isfinite().all()
        assert parameter.grad.abs().sum() > 0


@pytest.mark.parametrize("case", ONE_EACH)
@pytest.mark.filterwarnings("ignore:.*should not be instantiated:DeprecationWarning")
def test_a_step_compiles_to_one_graph_and_the_same_numbers(case):
    torch.compiler.reset()
    x = tensor(1, 1.0)
    found = []
    for prepare_module in (
        lambda module: module,
        lambda m: torch.compile(m, backend="aot_eager", fullgraph=True),
    ):
        quantizer, leaf = case.build().train(), x.clone().requires_grad_()
        values = prepare_module(quantizer)(leaf)
        values.square().sum().backward()
        found.append([values.detach(), leaf.grad, *(p.grad for p in quantizer.parameters())])
    for eager, compiled in zip(*found, strict=True):
        torch.testing.assert_close(compiled, eager)


@pytest.mark.parametrize("case", ONE_EACH)
def test_nothing_is_made_on_another_device(case):
    """Tensors of the device ``meta`` refuse to meet those of the CPU, as those of a GPU do."""
    quantizer, x = case.build().to("meta").train(), tensor(1, 1.0).to("meta").requires_grad_()
    if case.axis is not None:
        quantizer.start(x.detach(), quantizer.smallest_scale)
    quantizer.set_scale(quantizer.smallest_scale)
    values = quantizer(x)
    values.sum().backward()
    assert {values.device.type, x.grad.device.type} == {"meta"}


@cases
def test_size_by_formula_is_between_the_codes_and_floats(case):
    shape = (64, 16, 3, 3)
    codes = 64 * 16 * 9 * case.spec.bits
    assert codes < case.spec.size_bits(shape) < codes + 64 * 64 + 2**13


# Whole networks: calibrate, deploy, export.


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.first = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU())
        self.second = nn.Sequential(nn.Conv2d(8, 8, 3, padding=1, bias=False), nn.BatchNorm2d(8))
        self.last = nn.Linear(8, 3)

    def forward(self, x):
        x = self.first(x)
        return self.last(torch.relu(x + self.second(x)).mean((2, 3)))


def network():
    torch.manual_seed(0)
    made = Net()
    for _ in range(30):
        made(torch.randn(16, 3, 8, 8))  # batch statistics
    return made.eval()


def student_of(model, kind, **layer_bits):
    """Return a calibrated student with this kind wherever it fits, and what it was calibrated with."""
    x = torch.randn(16, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    spec = kind(bits=lowest(kind))
    scheme = QuantScheme(
        weights=LsqSpec(bits=4) if spec.misuse("weights") else spec,
        activations=LsqSpec() if spec.misuse("activations") else kind(bits=8),
        **layer_bits,
    )
    student = prepare(model, x[:2], scheme=scheme)
    calibrate(student, [x])
    return student.eval(), x


def lowest(kind):
    return 4 if "bits" not in kind(bits=4).misuse("weights") else 2


DEPLOYABLE = {name: kind for name, kind in KINDS.items() if not kind().not_deployable()}
each_kind = pytest.mark.parametrize("kind", DEPLOYABLE.values(), ids=DEPLOYABLE)


@each_kind
def test_calibration_starts_near_the_float_network(kind):
    model = network()
    student, x = student_of(model, kind, first_layer_bits=lowest(kind))
    floats, started = model(x).detach(), student(x).detach()
    assert torch.corrcoef(torch.stack([floats.flatten(), started.flatten()]))[0, 1] > 0.9


@each_kind
def test_a_layer_of_zeros_learns_or_is_named(kind):
    model = network()
    nn.init.zeros_(model.second[0].weight)
    student, x = student_of(model, kind)
    named = held_at_zero(student)
    optimizer = torch.optim.SGD(student.parameters(), lr=0.1)
    for _ in range(20):
        student.train()(x).square().mean().backward()
        optimizer.step()
        optimizer.zero_grad()
    learned = weight_quantizers(student)["second.0.weight"][0].weight.abs().max() > 1e-3
    assert learned == (not named)
    assert named in ([], ["second.0.weight"])


@each_kind
def test_deploy_changes_no_bit_and_is_idempotent(kind):
    student, x = student_of(network(), kind)
    for quantizer in (
        *activation_quantizers(student).values(),
        *(q for _, q in weight_quantizers(student).values()),
    ):
        for parameter in quantizer.parameters():
            parameter.data *= torch.rand(parameter.shape) + 0.5  # as training might
    before = student(x)
    weights = {mark: layer.weight.detach() for mark, (layer, _) in weight_quantizers(student).items()}
    for _ in range(2):
        deploy(student)
        assert torch.equal(student(x), before)
        for mark, (layer, quantizer) in weight_quantizers(student).items():
            assert torch.equal(layer.weight, weights[mark])
            assert torch.equal(layer.parametrizations["weight"].original, weights[mark])
            assert not list(quantizer.parameters())


@pytest.mark.parametrize("name", KINDS.keys() - DEPLOYABLE.keys())
def test_deploy_refuses_what_no_engine_holds(name):
    student, _ = student_of(network(), KINDS[name])
    with pytest.raises(SchemeError, match=name) as error:
        deploy(student)
    assert error.value.where in ("first.0.weight", "second.0.weight")


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """Return the deployed student of each kind, its marked graph and inputs with ties in it."""
    found = {}
    for kind in DEPLOYABLE.values():
        bits = lowest(kind)
        student, x = student_of(
            nn.Sequential(nn.Conv2d(3, 6, 3)), kind, first_layer_bits=bits, last_layer_bits=bits
        )
        deploy(student)
        path = tmp_path_factory.mktemp("marked") / "marked.onnx"
        export_onnx(student, x[:2], path)
        x.view(-1)[:64] = (torch.arange(-32, 32) + 0.5) * activation_quantizers(student)["input_1"].scale
        found[kind] = student, path, x
    return found


@each_kind
def test_the_mark_of_an_activation_equals_eager_bit_by_bit(kind, exported):
    student, path, x = exported[kind]
    quantizer = activation_quantizers(student)["input_1"]
    reference = ir.to_proto(float_reference(ir.load(path))).SerializeToString()
    marks = {mark.name: mark for mark in activation_marks(ir.load(path))}
    session = open_session(reference, optimize=False)
    feeds = {value.name: x.numpy() for value in session.get_inputs()}
    unrounded = run_all(session, feeds)[marks["input_1"].codes_name]
    codes = np.clip(np.round(unrounded), quantizer.grid.qmin, quantizer.grid.qmax)
    assert np.array_equal(codes, fake_quant_codes(student, x)[0]["input_1"])
    assert np.array_equal(codes * np.float32(marks["input_1"].scale), quantizer(x).numpy())


@each_kind
def test_the_mark_of_a_weight_equals_eager_bit_by_bit(kind, exported):
    student, path, _ = exported[kind]
    marked = ir.load(path)
    QuantizeWeightsPass()(marked)
    ((mark, (layer, _)),) = weight_quantizers(student).items()
    codes = marked.graph.initializers[mark].const_value.numpy()
    scale = marked.graph.initializers[f"{mark}.scale"].const_value.numpy()
    assert codes.dtype == np.int8
    assert np.array_equal(codes * scale.reshape(-1, 1, 1, 1), layer.weight.detach().numpy())
