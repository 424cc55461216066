"""What ``verify --target`` says of runtimes whose arithmetic is their own, and when that is a failure."""

import json
import shutil

import numpy as np
import onnx
import pytest
import torch
import torch.nn.functional as F
from onnx import numpy_helper
from torch import nn

from edgekd.runtimes.openvino_target import OpenVinoTarget
from edgekd.runtimes.stages import write_lowered
from edgekd.zoo.pixels import ImageNetwork, PixelGrid

SPLITS = ("train", "validation", "test")


class _Chain(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stem, self.deep, self.head = nn.Conv2d(3, 8, 3), nn.Conv2d(8, 8, 3), nn.Linear(8, 5)
        nn.init.zeros_(self.head.bias)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(F.relu(self.deep(F.relu(self.stem(x)))).mean((2, 3)))


@pytest.fixture(scope="module")
def chain(export_integer):
    torch.manual_seed(0)
    images = torch.randint(0, 256, (8, 10, 10, 3), dtype=torch.uint8)
    return export_integer(ImageNetwork(PixelGrid.like(), _Chain()), images, "portable")


@pytest.fixture
def folder(chain, tmp_path, monkeypatch):
    """A copy of the folder of `edgekd.export`, its model lowered for OpenVINO."""
    pytest.importorskip("openvino")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    found = shutil.copytree(chain.folder, tmp_path / "folder")
    write_lowered(chain.marked, found / "model.onnx", target=OpenVinoTarget(), metadata={})
    return found


@pytest.fixture
def data(tmp_path):
    """50 images of one colour each, 5 classes; labels are of no account."""
    rng = np.random.default_rng(0)
    images, labels = (
        np.tile(rng.integers(0, 256, (50, 1, 1, 3), dtype=np.uint8), (1, 10, 10, 1)),
        np.arange(50) % 5,
    )
    rows = {f"x_{name}": images for name in SPLITS} | {f"y_{name}": labels for name in SPLITS}
    np.savez(tmp_path / "data.npz", **rows)
    return f"arrays:{tmp_path / 'data.npz'}"


def _changed(path, op_type, change):
    """Change a constant of a layer's first operator: its weights' scale or codes."""
    model = onnx.load(path)
    makers = {name: node for node in model.graph.node for name in node.output}
    layer = next(node for node in model.graph.node if node.op_type == op_type)
    weights = makers[layer.input[1]]
    constants = {tensor.name: tensor for tensor in model.graph.initializer}
    index, factor = change
    found = constants[weights.input[index]]
    found.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(found) * factor, found.name))
    onnx.save(model, path)


def test_a_layer_with_another_scale_fails(cli, folder):
    done = cli("verify", folder, "--target", "openvino")
    assert done.code == 0, done.out
    _changed(folder / "model.onnx", "Conv", (1, np.float32(2)))
    done = cli("verify", folder, "--target", "openvino", "--json")
    assert (done.code, json.loads(done.out)["fidelity"]["layer_off_by_more"] > 0) == (3, True)


def test_a_runtime_that_answers_otherwise_than_its_file_fails(cli, folder, data, tmp_path, monkeypatch):
    """A bare file has no trained student: the runtime has to answer as the file's Q/DQ graph does."""
    file, other = folder / "model.onnx", tmp_path / "other.onnx"
    said = json.loads(cli("verify", file, "--target", "openvino", "--data", data, "--json").out)
    assert said["agreement"] >= 0.98
    shutil.copy(file, other)
    _changed(other, "Gemm", (0, np.int8(-1)))
    right = OpenVinoTarget.open
    monkeypatch.setattr(OpenVinoTarget, "open", lambda self, engine, **more: right(self, other, **more))
    done = cli("verify", file, "--target", "openvino", "--data", data)
    assert done.code == 3
    assert "as the file's Q/DQ graph in float, 98 % demanded" in done.out


def test_what_was_not_compared_is_not_called_right(cli, folder):
    done = cli("verify", folder / "model.onnx", "--target", "openvino")
    assert done.code == 2
    assert "no oracle: OpenVINO fuses" in done.out
    assert "openvino has no integer oracle, and nothing was scored" in done.err


def test_a_stand_in_is_called_one(cli, folder, data):
    done = cli("verify", folder / "model.onnx", "--target", "tensorrt", "--data", data)
    assert done.code == 0
    assert "computed in float from the file's Q/DQ graph: " in done.out
    assert "by the quantizers of the file alone" in done.out
    assert "answers:" not in done.out
