import numpy as np
import onnx
import onnxruntime
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from edgekd.errors import BuildError
from edgekd.runtimes.onnx_runtime_target import OnnxRuntimeTarget
from edgekd.zoo.mobilenet_v2 import InvertedResidual
from edgekd.zoo.pixels import ImageNetwork, PixelGrid
from edgekd.zoo.resnet_cifar import BasicBlock


class Blocks(nn.Module):
    """One block of each of the two families."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(8)
        self.basic = BasicBlock(8, 8, stride=1)
        self.inverted = InvertedResidual(8, 8, expansion=2, stride=1)
        self.linear = nn.Linear(8, 5)

    def forward(self, x):
        x = F.relu(self.norm(self.stem(x)))
        return self.linear(self.inverted(self.basic(x)).mean((2, 3)))


@pytest.fixture(scope="module")
def portable(export_integer):
    torch.manual_seed(0)
    images = torch.randint(0, 256, (4, 12, 12, 3), dtype=torch.uint8)
    return export_integer(ImageNetwork(PixelGrid.like(), Blocks()), images, "portable")


def test_a_portable_student_runs_in_integers(portable):
    portable.assert_integer()
    assert portable.ops["QLinearConv"] == 6
    assert portable.ops["QLinearAdd"] == 2


def test_portable_relu_tensors_are_clipped_to_127_on_the_codes(portable):
    stored = {item.name: onnx.numpy_helper.to_array(item) for item in portable.lowered.graph.initializer}
    clips = [node for node in portable.lowered.graph.node if node.op_type == "Clip"]
    assert [node.output[0] for node in clips] == [
        "stem.q",
        "basic.conv1.q",
        "basic.add.q",
        "inverted.expand.conv.q",
        "inverted.depthwise.conv.q",
    ]
    for node in clips:
        low, high = stored[node.input[1]], stored[node.input[2]]
        assert (low.dtype, low, high) == (np.uint8, 0, 127)
    assert portable.ops["Clip"] == len(clips)


def test_profiles_without_tensorrt():
    assert OnnxRuntimeTarget().profiles == ("ort", "portable")
    assert OnnxRuntimeTarget().runtime_version() == onnxruntime.__version__


def test_build_keeps_the_file(portable, tmp_path):
    OnnxRuntimeTarget().build(portable.model, tmp_path / "engine.onnx")
    assert (tmp_path / "engine.onnx").read_bytes() == portable.model.read_bytes()


def test_build_refuses_what_does_not_load(tmp_path):
    (tmp_path / "model.onnx").write_bytes(b"not a model")
    with pytest.raises(BuildError):
        OnnxRuntimeTarget().build(tmp_path / "model.onnx", tmp_path / "engine.onnx")
    assert not (tmp_path / "engine.onnx").exists()


@pytest.mark.parametrize(
    "pool",
    [
        nn.AvgPool2d(3, stride=2, ceil_mode=True),
        nn.AvgPool2d((3, 2), (2, 3), (1, 0), ceil_mode=True),
        nn.AvgPool2d(1, stride=3, ceil_mode=True),  # torch leaves out a window that ONNX would count
        nn.AvgPool2d(2, stride=4, padding=1, ceil_mode=True),
        nn.MaxPool2d(3, stride=2, ceil_mode=True),
    ],
    ids=["average", "average with padding", "crop", "crop and pad", "maximum"],
)
def test_pools_whose_last_windows_are_cut_off_are_exact(export_integer, pool):
    torch.manual_seed(0)
    images = torch.randint(0, 256, (8, 10, 9, 3), dtype=torch.uint8)
    network = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), pool, nn.Conv2d(8, 4, 1))
    export_integer(ImageNetwork(PixelGrid.like(), network), images).assert_integer()
