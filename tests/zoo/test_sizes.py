"""Sizes between two networks, against parameters counted by hand.

A resnet_cifar of n blocks a stage, on 3 channels and 10 classes, has 97 216 n - 21 926 parameters: its stem
464, its stages 4 672 n, 13 952 + 18 560 (n - 1) and 55 552 + 73 984 (n - 1), its classifier 650.
"""

import pytest
import torch

from edgekd.data.dataset import DataInfo
from edgekd.zoo.ds_cnn import DsCnnSpec
from edgekd.zoo.mobilenet_v2 import MobileNetV2Spec
from edgekd.zoo.network import NetworkSpec
from edgekd.zoo.resnet import ResNetSpec
from edgekd.zoo.resnet_cifar import ResNetCifarSpec
from edgekd.zoo.sizes import equal_ratios, sizes_between

INFO = DataInfo(tuple("0123456789"), height=32, width=32, channels=3, color_order="RGB", resize="none")


def _resnet(depth: int) -> ResNetCifarSpec:
    return ResNetCifarSpec(depth=depth)


@pytest.mark.parametrize(
    ("large", "small", "chosen"),
    [
        (110, 20, (44,)),  # sqrt(1 727 962 * 269 722) = 682 690: n = 7.25
        (110, 20, (62, 32)),  # 1 727 962 * 0.15609**(1/3) = 930 400: n = 9.80; **(2/3) = 500 900: n = 5.38
        (26, 8, (20, 14)),  # all that there are
        (32, 8, (26, 20, 14)),
    ],
)
def test_equal_ratios_are_a_geometric_series(large: int, small: int, chosen: tuple[int, ...]) -> None:
    found = equal_ratios(_resnet(large), _resnet(small), len(chosen), INFO)
    assert found == tuple(map(_resnet, chosen))


def test_equal_ratios_choose_widths_and_draw_no_random_number() -> None:
    torch.manual_seed(0)
    before = torch.get_rng_state()
    (found,) = equal_ratios(MobileNetV2Spec(width=1.4), MobileNetV2Spec(width=0.35), 1, INFO)
    assert found == MobileNetV2Spec(width=0.75)
    assert torch.equal(torch.get_rng_state(), before)


def test_sizes_are_counted_from_the_small_end() -> None:
    found = sizes_between(MobileNetV2Spec(width=1.0), MobileNetV2Spec(width=0.8))
    assert [network.width for network in found if isinstance(network, MobileNetV2Spec)] == [0.95, 0.9, 0.85]
    assert sizes_between(_resnet(14), _resnet(8)) == ()


@pytest.mark.parametrize(
    ("large", "small", "says"),
    [
        (ResNetCifarSpec(depth=20), MobileNetV2Spec(), "are not one family"),
        (DsCnnSpec(size="large"), DsCnnSpec(size="small"), "are not one family"),
        (ResNetSpec(depth=34), ResNetSpec(width=0.5), r"differ in more than width \(depth 34 and 18\)"),
        (_resnet(20), _resnet(20), "resnet20 is not larger than resnet20"),
        (_resnet(20), _resnet(8), "there are 1 sizes between resnet20 and resnet8, not 2"),
    ],
)
def test_what_has_no_sizes_in_between_is_refused(large: NetworkSpec, small: NetworkSpec, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        sizes_between(large, small, least=2)
