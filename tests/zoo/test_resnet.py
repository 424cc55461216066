import pytest
import torch

from edgekd.zoo.cost import count_macs, count_params
from edgekd.zoo.resnet import ResNetSpec


@pytest.mark.parametrize(
    ("depth", "params", "macs_g"),
    [(18, 11_689_512, 1.814), (34, 21_797_672, 3.664), (50, 25_557_032, 4.089)],
)
def test_build_has_the_size_of_the_weights_that_people_share(depth, params, macs_g):
    """Parameters and GFLOPS (multiply-accumulates) as torchvision publishes them with its weights."""
    body = ResNetSpec(depth=depth).build(channels=3, classes=1000, size=(224, 224))
    assert count_params(body) == params
    assert count_macs(body, channels=3, height=224, width=224) / 1e9 == pytest.approx(macs_g, abs=0.001)


def test_build_names_its_layers_as_the_weights_that_people_share():
    names = set(ResNetSpec(depth=50).build(channels=3, classes=10, size=(32, 32)).state_dict())
    assert {"conv1.weight", "layer1.0.downsample.0.weight", "layer4.2.conv3.weight", "fc.bias"} <= names
    assert "layer1.1.downsample.0.weight" not in names


def test_build_divides_the_image_by_32_and_scales_all_channels():
    body = ResNetSpec(width=0.5).build(channels=1, classes=10, size=(64, 64)).eval()
    shapes = []
    body.layer4.register_forward_hook(lambda _module, _inputs, output: shapes.append(tuple(output.shape)))
    assert body(torch.zeros(2, 1, 64, 64)).shape == (2, 10)
    assert shapes == [(2, 256, 2, 2)]
    assert ResNetSpec(width=0.5).title == "resnet18 x0.5"
