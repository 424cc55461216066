import copy

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from edgekd.quant.deploy import deploy
from edgekd.quant.exact import sum_exactly
from edgekd.quant.settle import settle_biases
from edgekd.runtimes.onnx_runtime_target import OnnxRuntimeTarget
from edgekd.zoo.pixels import ImageNetwork, PixelGrid


class Mixed(nn.Module):
    """Long sums, and what else there is: attention, a layer and a BatchNorm called twice, a LayerNorm."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 32, 5, padding=2)
        self.norm = nn.BatchNorm2d(32)
        self.deep = nn.Conv2d(32, 32, 5, padding=2, bias=False)
        self.twice = nn.Conv2d(32, 32, 1)
        self.rows = nn.LayerNorm(32)
        self.qkv = nn.Linear(32, 96)
        self.head = nn.Linear(32, 4)

    def forward(self, x):
        x = F.relu(self.norm(self.stem(x)))
        x = F.relu(self.norm(self.deep(x))) + x
        x = F.relu6(self.twice(F.silu(self.twice(F.max_pool2d(x, 2)))))
        q, k, v = self.qkv(self.rows(x.flatten(2).transpose(1, 2))).chunk(3, -1)
        x = (q @ k.transpose(1, 2) * 0.2).softmax(-1) @ v
        return self.head(x.mean(1))


@pytest.fixture(scope="module")
def mixed(export_integer):
    torch.manual_seed(0)
    images = torch.randint(0, 256, (24, 12, 12, 3), dtype=torch.uint8)
    return export_integer(ImageNetwork(PixelGrid.like(), Mixed()), images)


@torch.no_grad()
def test_an_exact_student_is_the_engine_but_for_what_that_rounds(mixed):
    images = torch.tensor(mixed.inputs)
    plain = copy.deepcopy(mixed.student)
    deploy(plain)
    settle_biases(plain)
    exact = copy.deepcopy(plain)
    sum_exactly(exact)
    with OnnxRuntimeTarget().open(mixed.folder / "model.onnx") as engine:
        (found,) = map(torch.tensor, engine.run({engine.inputs[0].name: mixed.inputs}).values())
    size = found.abs().max()
    logits = exact(images)
    assert logits.dtype == torch.float64
    off = (logits - found).abs().amax(1) / size
    assert (off < 1e-5).float().mean() > 0.5
    assert off.max() < 0.05
    assert (logits - plain(images)).abs().max() / size < 0.05


@torch.no_grad()
def test_sums_are_exact(residual):
    exact = copy.deepcopy(residual.student)
    deploy(exact)
    settle_biases(exact)
    reference = (
        exact.get_submodule("body.left").weight.double(),
        exact.get_submodule("body.left").bias.double(),
    )
    x = torch.randint(0, 256, (2, 8, 6, 6)).double()
    scale = exact.quantizers["stem"].scale.double()
    sum_exactly(exact)
    found = exact.get_submodule("body.left")(x * scale)
    expected = F.conv2d(x * scale, *reference, padding=1)
    torch.testing.assert_close(found, expected, rtol=1e-6, atol=1e-6)
