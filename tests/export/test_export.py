"""Whole networks, from torch to a verified engine: everything that may stand in one runs in integers."""

import numpy as np
import onnx
import onnx_ir as ir
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from edgekd.errors import SchemeError
from edgekd.export.export import export
from edgekd.lower.payload import layer_weights
from edgekd.quant.lsq import LsqSpec
from edgekd.quant.prepare import prepare
from edgekd.quant.scheme import QuantScheme
from edgekd.runtimes.onnx_runtime_target import OnnxRuntimeTarget


class SharedLayer(nn.Module):
    """One convolution used twice, and tensors that several operators read."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, padding=1)
        self.shared = nn.Conv2d(8, 8, 1)
        self.linear = nn.Linear(8, 3)

    def forward(self, x):
        stem = self.stem(x)
        x = self.shared(F.relu(stem)) + stem
        x = x + self.shared(x)
        return self.linear(x.mean((2, 3)))


class TwoHeads(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, padding=1)
        self.first = nn.Linear(8, 3)
        self.second = nn.Linear(8, 2)

    def forward(self, x):
        x = F.relu(self.stem(x)).mean((2, 3))
        return self.first(x), self.second(x)


class DifficultNames(nn.Module):
    """Modules called like the tensors around them."""

    def __init__(self):
        super().__init__()
        self.image = nn.Conv2d(3, 4, 3)
        self.matmul = nn.Conv2d(4, 4, 1)
        self.weight = nn.Conv2d(4, 4, 1)
        self.logits = nn.Conv2d(4, 2, 1)

    def forward(self, x):
        return self.logits(F.relu(self.weight(self.matmul(F.relu(self.image(x))))))


class Signal(nn.Module):
    def __init__(self):
        super().__init__()
        self.first = nn.Conv1d(4, 8, 3, padding=1, bias=False)
        self.norm = nn.BatchNorm1d(8)
        self.second = nn.Conv1d(8, 8, 3, stride=2, dilation=2, groups=2)
        self.pool = nn.AdaptiveAvgPool1d(1)
        self.linear = nn.Linear(8, 3)

    def forward(self, x):
        x = F.relu(self.second(F.relu(self.norm(self.first(x)))))
        return self.linear(self.pool(x).flatten(1))


def dead():
    """Channels without weights, a layer without any, and a bias far beyond the grid."""
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Conv2d(4, 4, 3), nn.ReLU(), nn.Conv2d(4, 2, 1))
    network[0].weight.data[1:] = 0
    network[2].weight.data.zero_()
    network[2].bias.data = torch.tensor([0.0, 5.0, -3.0, 1e-20])
    return network


def perceptron():
    return nn.Sequential(
        nn.Linear(12, 16, bias=False),
        nn.BatchNorm1d(16),
        nn.ReLU(),
        nn.Linear(16, 16),
        nn.ReLU(),
        nn.Linear(16, 4),
    )


def without_batch_norm():
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, bias=False), nn.ReLU6(), nn.Flatten(), nn.Linear(1568, 4, bias=False)
    )


IMAGES, SIGNALS, ROWS = (8, 3, 16, 16), (8, 4, 20), (8, 12)
NETWORKS = {
    "shared layer": (SharedLayer, IMAGES),
    "two heads": (TwoHeads, IMAGES),
    "difficult names": (DifficultNames, IMAGES),
    "signal": (Signal, SIGNALS),
    "dead channels": (dead, IMAGES),
    "perceptron": (perceptron, ROWS),
    "without batch norm": (without_batch_norm, IMAGES),
}


def inputs(shape):
    return torch.randn(shape, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize(("build", "shape"), NETWORKS.values(), ids=NETWORKS)
def test_networks_run_in_integers_as_they_were_trained(export_integer, build, shape):
    torch.manual_seed(0)
    export_integer(build(), inputs(shape)).assert_integer()


@pytest.mark.parametrize(("weight_bits", "bits", "residual_bits"), [(2, 2, 8), (4, 4, 4)])
def test_fewer_bits_run_in_integers_too(export_integer, weight_bits, bits, residual_bits):
    torch.manual_seed(0)
    scheme = QuantScheme(
        weights=LsqSpec(bits=weight_bits), activations=LsqSpec(bits=bits), residual_bits=residual_bits
    )
    run = export_integer(SharedLayer(), inputs(IMAGES), scheme=scheme)
    run.assert_integer()
    layers = {layer.name: layer for layer in layer_weights(ir.load(run.model))}
    assert layers["shared"].stored_bits == weight_bits


def test_the_engine_predicts_what_the_student_predicts(residual):
    with torch.no_grad():
        student = residual.student.eval()(torch.tensor(residual.inputs)).numpy()
    engine = OnnxRuntimeTarget().open(residual.model).predict(residual.inputs)
    assert np.array_equal(engine.argmax(1), student.argmax(1))
    assert np.abs(engine - student).max() < 0.02 * np.abs(student).max()


def test_export_refuses_a_student_of_another_runtime(tmp_path):
    x = inputs(ROWS)
    with pytest.raises(SchemeError, match="onnxruntime cannot run a student of profile 'tensorrt'") as error:
        export(prepare(perceptron(), x, "tensorrt"), x, tmp_path / "new")
    assert error.value.fix == "prepare it for one of: ort, portable"
    assert not (tmp_path / "new").exists()


def test_export_writes_what_verify_needs(residual, tmp_path):
    path = export(
        residual.student, torch.tensor(residual.inputs), tmp_path / "new", metadata={"classes": "a b"}
    )
    assert path == tmp_path / "new" / "model.onnx"
    assert sorted(item.name for item in path.parent.iterdir()) == ["marked.onnx", "model.onnx", "probes.npy"]
    assert {item.key: item.value for item in onnx.load(path).metadata_props} == {"classes": "a b"}
    assert np.array_equal(np.load(path.parent / "probes.npy"), residual.inputs)
