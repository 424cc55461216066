"""Students of few bits: packed files that run in integers, bit by bit as the unpacked ones, as trained."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx_ir as ir
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from edgekd.lower import onnxruntime_dialect
from edgekd.lower.lint import lint
from edgekd.lower.pack_weights import PackWeightsPass
from edgekd.lower.payload import layer_weights
from edgekd.quant.lsq import LsqSpec
from edgekd.quant.scheme import QuantScheme
from edgekd.runtimes.onnx_runtime import open_session, run_all, tap
from edgekd.zoo.pixels import ImageNetwork, PixelGrid

FINGERPRINT = Path(__file__).parents[1] / "runtimes" / "fingerprint_engine.py"
CODE_BOOKS = {"table of 4": (-90, -20, 0, 127), "table of 16": (*range(-121, 104, 15), 127)}
FORMS = {"ternary": 2, "three bits": 3, "four bits": 4, "table of 4": 2, "table of 16": 4}


class EveryLayer(nn.Module):
    """BatchNorms with gains of both signs and of 0, depthwise, grouped, shared and linear layers.

    16 channels: with 20, ONNX Runtime 1.23 computes wrong numbers, whatever the form of the weights.
    """

    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(3, 16, 3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(16)
        self.depthwise = nn.Conv2d(16, 16, 3, padding=1, groups=16, bias=False)
        self.depthwise_norm = nn.BatchNorm2d(16)
        self.grouped = nn.Conv2d(16, 16, 3, padding=1, groups=4)
        self.shared = nn.Conv2d(16, 16, 1)
        self.linear = nn.Linear(16, 7)

    def forward(self, x):
        x = F.relu(self.norm(self.stem(x)))
        x = F.relu(self.grouped(F.relu(self.depthwise_norm(self.depthwise(x))))) + x
        x = F.relu(self.shared(x)) + x
        x = F.relu(self.shared(x))
        return self.linear(x.mean((2, 3)))


def from_code_book(network, values):
    """Give every layer the weights ``values[i] * scale``; each channel has the largest one."""
    for layer in network.children():
        if isinstance(layer, nn.Conv2d | nn.Linear):
            weight = layer.weight.data
            rows = torch.tensor(values).float()[torch.randint(0, len(values), weight.shape)].flatten(1)
            rows[:, 0] = 127
            weight.copy_((rows * weight.flatten(1).std(1, keepdim=True) / 64).reshape(weight.shape))
    return network


@pytest.fixture(scope="module")
def exported(export_integer):
    """Return a network of each form; all layers have its bits."""
    made = {}
    images = torch.randint(
        0, 256, (8, 9, 9, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0)
    )
    for form, bits in FORMS.items():
        torch.manual_seed(0)
        network = EveryLayer()
        if form in CODE_BOOKS:
            bits, network = 8, from_code_book(network, CODE_BOOKS[form])
        scheme = QuantScheme(weights=LsqSpec(bits=bits), first_layer_bits=bits, last_layer_bits=bits)
        made[form] = export_integer(ImageNetwork(PixelGrid.like(), network), images, scheme=scheme)
    return made


@pytest.fixture
def unpacked(exported, form, monkeypatch):
    """Return the lowered graph with its codes as INT8."""
    without = tuple(kind for kind in onnxruntime_dialect.PASSES if kind is not PackWeightsPass)
    monkeypatch.setattr(onnxruntime_dialect, "PASSES", without)
    return onnxruntime_dialect.lower_for_onnxruntime(ir.load(exported[form].marked), metadata={})


@pytest.fixture(params=FORMS)
def form(request):
    return request.param


def test_small_students_run_in_integers_as_they_were_trained(exported, form):
    exported[form].assert_integer()
    assert exported[form].ops["QLinearConv"] == 5 and exported[form].ops["QGemm"] == 1


def test_packed_files_give_the_same_bits_as_unpacked_ones(exported, form, unpacked):
    run = exported[form]
    plain = ir.to_proto(unpacked)
    codes = [name for node in plain.graph.node for name in node.output if name.endswith(".q")]
    found, expected = (
        run_all(open_session(tap(model, codes)), {"image": run.inputs}) for model in (run.lowered, plain)
    )
    assert len(found) == len(codes) + 1
    assert [name for name in found if not np.array_equal(found[name], expected[name])] == []
    assert list(map(vars, lint(ir.load(run.model)))) == list(map(vars, lint(unpacked)))


def test_files_hold_packed_codes_and_little_else(exported, form, unpacked):
    """The payload is at most 1.02 of what codes and channels need, beside tables, dead channels or not.

    The layer that is used twice has a table in each form: its biases want a finer unit.
    """
    layers, before = layer_weights(ir.load(exported[form].model)), layer_weights(unpacked)
    assert [layer.name for layer in layers] == ["stem", "depthwise", "grouped", "shared", "linear"]
    assert {(layer.bits, layer.stored_bits) for layer in layers} == {(FORMS[form], FORMS[form])}
    with_table = {layer.name for layer in layers if layer.table_values}
    assert with_table == ({layer.name for layer in layers} if form in CODE_BOOKS else {"shared"})
    payload_bytes = sum(layer.size_bytes - layer.table_values for layer in layers)
    assert payload_bytes <= 1.02 * sum(layer.needed_bytes for layer in layers)
    graph_bytes = exported[form].model.stat().st_size - sum(layer.size_bytes for layer in layers)
    plain_graph_bytes = ir.to_proto(unpacked).ByteSize() - sum(layer.size_bytes for layer in before)
    assert graph_bytes <= plain_graph_bytes + 270 * len(layers)


def test_an_older_onnx_runtime_gives_the_same_bits(exported, run_in_both):
    here, there = run_in_both({form: (run.lowered, run.inputs) for form, run in exported.items()})
    assert here == there and len(here) == len(FORMS)


@pytest.mark.qemu
def test_codes_of_few_bits_need_no_option_without_vnni(exported, qemu, tmp_path):
    """|w| <= 64: pairs of products stay within 16 bits, so even a session without options is right."""
    run = exported["four bits"]
    np.save(tmp_path / "inputs.npy", run.inputs)
    here, there = (
        json.loads(
            subprocess.check_output([*command, FINGERPRINT, run.model, tmp_path / "inputs.npy"], text=True)
        )
        for command in ([sys.executable], qemu)
    )
    assert there["saturates"] is True
    assert there["plain"] == there["codes"] == here["codes"] == here["plain"]
    assert there["oracle"] == here["oracle"] and here["oracle"][1] == 0


class OneLayerThreeTimes(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem, self.shared, self.linear = nn.Conv2d(3, 16, 3), nn.Conv2d(16, 16, 1), nn.Linear(16, 7)

    def forward(self, x):
        x = F.relu(self.stem(x))
        for _ in range(3):
            x = F.relu(self.shared(x)) + x
        return self.linear(x.mean((2, 3)))


@pytest.mark.qemu
@pytest.mark.parametrize("form", ["eight bits", *CODE_BOOKS])
def test_large_codes_of_a_layer_used_again_open_without_vnni(export_integer, form, qemu, tmp_path):
    torch.manual_seed(0)
    network = OneLayerThreeTimes()
    if form in CODE_BOOKS:
        network = from_code_book(network, CODE_BOOKS[form])
    images = torch.randint(0, 256, (8, 9, 9, 3), dtype=torch.uint8)
    run = export_integer(ImageNetwork(PixelGrid.like(), network), images)
    run.assert_integer()
    layers = layer_weights(ir.load(run.model))
    assert [layer.name for layer in layers] == ["stem", "shared", "linear"]
    assert layers[1].stored_bits == FORMS.get(form, 8)
    np.save(tmp_path / "inputs.npy", run.inputs)
    command = [*qemu, FINGERPRINT, run.model, tmp_path / "inputs.npy"]
    there = json.loads(subprocess.check_output(command, text=True))
    assert there["saturates"] is True
    assert there["oracle"][1] == 0


class ReadsParameters(nn.Module):
    """Matrix products with a parameter: an operand, which is no layer whatever its name."""

    def __init__(self):
        super().__init__()
        self.stem, self.head = nn.Conv2d(3, 16, 3), nn.Linear(5, 7)
        self.w1 = nn.Parameter(torch.randn(16, 8))
        self.proj = nn.Parameter(torch.tensor([-1.0, 1.0])[torch.randint(0, 2, (8, 5))])

    def forward(self, x):
        return self.head(F.relu(self.stem(x)).mean((2, 3)) @ self.w1 @ self.proj)


class SharedBehindTwoNorms(nn.Module):
    """One convolution with two BatchNorms, of whose gains some have opposite signs."""

    def __init__(self):
        super().__init__()
        self.stem, self.head = nn.Conv2d(3, 16, 3), nn.Linear(16, 7)
        self.shared = nn.Conv2d(16, 16, 1)
        self.norms = nn.ModuleList([nn.BatchNorm2d(16), nn.BatchNorm2d(16)])
        nn.init.constant_(self.norms[1].weight, -1.0)

    def forward(self, x):
        x = F.relu(self.stem(x))
        for norm in self.norms:
            x = F.relu(norm(self.shared(x))) + x
        return self.head(x.mean((2, 3)))


@pytest.mark.parametrize("bits", [4, 8])
@pytest.mark.parametrize(
    ("network", "layers"),
    [(ReadsParameters, ["stem", "head"]), (SharedBehindTwoNorms, ["stem", "shared", "head"])],
)
def test_weights_of_layers_are_stored_once_and_operands_are_none(export_integer, network, layers, bits):
    torch.manual_seed(0)
    images = torch.randint(0, 256, (8, 9, 9, 3), dtype=torch.uint8)
    scheme = QuantScheme(weights=LsqSpec(bits=bits), first_layer_bits=bits, last_layer_bits=bits)
    run = export_integer(ImageNetwork(PixelGrid.like(), network()), images, scheme=scheme)
    run.assert_integer()
    stored = layer_weights(ir.load(run.model))
    assert [(layer.name, layer.stored_bits) for layer in stored] == [(name, bits) for name in layers]
