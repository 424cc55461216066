import copy
import os

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.utils.parametrizations import weight_norm

from edgekd.data.parquet import ParquetSpec
from edgekd.errors import ExportError, SpecError
from edgekd.zoo.mobilenet_v2 import MobileNetV2Spec
from edgekd.zoo.pixels import ImageNetwork, NormalizePixels, PixelGrid, fold_normalization
from edgekd.zoo.resnet_cifar import ResNetCifarSpec
from edgekd.zoo.weights import load_weights

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
SIZE = (32, 32)
IMAGES = torch.randint(0, 256, (8, 9, 9, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


def with_running_statistics(body):
    """Give every BatchNorm statistics that are not 0 and 1."""
    generator = torch.Generator().manual_seed(1)
    for norm in body.modules():
        if isinstance(norm, nn.BatchNorm2d) and norm.track_running_stats:
            norm.running_mean.normal_(generator=generator)
            norm.running_var.uniform_(0.5, 2, generator=generator)
    return body.eval()


@torch.no_grad()
def outputs_before_and_after_folding(body, images=IMAGES):
    grid = PixelGrid.like(MEAN, STD)
    folded = copy.deepcopy(body)
    fold_normalization(folded, mean=MEAN, std=STD, grid=grid, size=SIZE)
    before = ImageNetwork(NormalizePixels(MEAN, STD), body)(images)
    return before, ImageNetwork(grid, folded)(images)


def test_normalize_pixels_subtracts_the_mean_of_each_channel():
    images = torch.tensor([0, 128, 255], dtype=torch.uint8).reshape(1, 1, 1, 3)
    out = NormalizePixels((0.5, 0.25, 0.0), (0.5, 0.25, 1.0))(images)
    assert out.shape == (1, 3, 1, 1)
    assert out.flatten().tolist() == pytest.approx([-1, (128 / 255 - 0.25) / 0.25, 1])


def test_normalize_pixels_adds_nothing_to_the_state_dict():
    network = ImageNetwork(NormalizePixels(MEAN, STD), nn.Conv2d(3, 1, 1))
    assert list(network.state_dict()) == ["body.weight", "body.bias"]


def test_pixel_grid_is_exactly_what_a_dequantizer_computes():
    grid = PixelGrid(0.1, 3)
    assert grid.scale == float(np.float32(0.1))
    pixels = np.arange(256, dtype=np.uint8)
    expected = (pixels.astype(np.int32) - 3).astype(np.float32) * np.float32(grid.scale)
    out = grid(torch.tensor(pixels).reshape(1, 16, 16, 1))
    assert out.dtype == torch.float32
    np.testing.assert_array_equal(out.numpy().ravel(), expected)


def test_pixel_grid_like_averages_the_channels():
    grid = PixelGrid.like((0.2, 0.6), (0.1, 0.3))
    assert grid.zero_point == 102  # 255 * 0.4
    assert grid.scale == pytest.approx(1 / (255 * 0.2))
    assert PixelGrid.like().zero_point == 128


@pytest.mark.parametrize(
    ("mean", "std"), [((123.7,), (58.4,)), ((0.5,), (0.0,)), ((0.5, 0.5), (0.5,)), ((float("nan"),), (0.5,))]
)
def test_statistics_that_are_not_fractions_are_refused(mean, std):
    with pytest.raises(SpecError, match="not fractions of 255"):
        PixelGrid.like(mean, std)
    with pytest.raises(SpecError, match="not fractions of 255"):
        NormalizePixels(mean, std)


@pytest.mark.parametrize("bias", [True, False])
def test_fold_normalization_is_exact_without_padding(bias):
    torch.manual_seed(0)
    for body in (
        nn.Sequential(nn.Conv2d(3, 8, 3, bias=bias)),
        nn.Sequential(nn.Conv2d(3, 8, 3, bias=bias), nn.ReLU()),
        nn.Sequential(nn.Conv2d(3, 8, 3, bias=bias), nn.BatchNorm2d(8), nn.ReLU()),
        nn.Sequential(nn.Conv2d(3, 8, 3, bias=bias), nn.BatchNorm2d(8, track_running_stats=False)),
    ):
        before, after = outputs_before_and_after_folding(with_running_statistics(body))
        torch.testing.assert_close(after, before, atol=1e-5, rtol=0)


def test_fold_normalization_is_exact_away_from_the_zero_padding():
    torch.manual_seed(0)
    body = with_running_statistics(
        nn.Sequential(nn.Conv2d(3, 8, 3, padding=1, bias=False), nn.BatchNorm2d(8))
    )
    before, after = outputs_before_and_after_folding(body)
    torch.testing.assert_close(after[..., 1:-1, 1:-1], before[..., 1:-1, 1:-1], atol=1e-5, rtol=0)
    assert not torch.allclose(after, before, atol=1e-3)


@pytest.mark.parametrize("spec", [MobileNetV2Spec(width=0.5), ResNetCifarSpec(depth=8)])
def test_fold_normalization_finds_the_first_layer_of_the_zoo(spec):
    torch.manual_seed(0)
    body = with_running_statistics(spec.build(channels=3, classes=10, size=(32, 32)))
    first = next(module for module in body.modules() if isinstance(module, nn.Conv2d))
    before = {name: value.clone() for name, value in body.state_dict().items()}
    fold_normalization(body, mean=MEAN, std=STD, grid=PixelGrid.like(MEAN, STD), size=SIZE)
    changed = {name for name, value in body.state_dict().items() if not torch.equal(value, before[name])}
    assert first.bias is None
    assert changed in ({"stem.conv.weight", "stem.bn.running_mean"}, {"conv1.weight", "bn1.running_mean"})


class TwoPaths(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 3, 1)

    def forward(self, x):
        return x + self.conv(x)


class TwoCalls(TwoPaths):
    def forward(self, x):
        return self.conv(self.conv(x))


@pytest.mark.parametrize(
    ("body", "what"),
    [
        pytest.param(nn.Conv2d(6, 8, 3), "cannot take images", id="channels"),
        pytest.param(nn.Conv2d(3, 6, 3, groups=3), "3 channels in 3 groups", id="groups"),
        pytest.param(
            weight_norm(nn.Conv2d(3, 8, 3)), "weights of the first convolution are computed", id="norm"
        ),
        pytest.param(nn.Linear(32, 4), "not go into one nn.Conv2d", id="linear"),
        pytest.param(TwoPaths(), "not go into one nn.Conv2d", id="two paths"),
        pytest.param(TwoCalls(), "not go into one nn.Conv2d", id="two calls"),
    ],
)
def test_fold_normalization_refuses_other_first_layers(body, what):
    body = body if isinstance(body, TwoPaths) else nn.Sequential(body)
    with pytest.raises(ExportError, match=what):
        fold_normalization(body, mean=MEAN, std=STD, grid=PixelGrid.like(MEAN, STD), size=SIZE)


@pytest.mark.cifar10
@pytest.mark.skipif("EDGEKD_DATA" not in os.environ, reason="EDGEKD_DATA is not set")
def test_fold_normalization_keeps_the_predictions_of_resnet20():
    body = ResNetCifarSpec(depth=20).build(channels=3, classes=10, size=(32, 32)).eval()
    load_weights(body, "$EDGEKD_DATA/weights/resnet20_cifar10.safetensors")
    images = torch.tensor(ParquetSpec(path="$EDGEKD_DATA/cifar10").split("test").images[:1000])
    before, after = outputs_before_and_after_folding(body, images)
    assert (before.argmax(1) == after.argmax(1)).float().mean() > 0.99
