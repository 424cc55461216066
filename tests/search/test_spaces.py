"""What holds of every search space."""

from typing import Any

import pytest
import torch
from pydantic import TypeAdapter

from edgekd.core.union import members_by_kind
from edgekd.search.mobilenet_v2_space import MobileNetV2Space
from edgekd.search.resnet_space import ResNetSpace
from edgekd.search.space import SearchSpace, rounded
from edgekd.unions import Network, Space
from edgekd.zoo.cost import count_macs

CHANNELS, CLASSES, SIZE = 3, 10, (32, 32)


REQUIRED = {"pruned": {"network": {"kind": "resnet_cifar", "depth": 8}}}


@pytest.fixture(params=members_by_kind(Space))
def space(request: Any) -> SearchSpace:
    fields = {"kind": request.param, **REQUIRED.get(request.param, {})}
    return TypeAdapter(Space).validate_python(fields)


def settings(space: SearchSpace) -> list[dict[str, Any]]:
    generator = torch.Generator().manual_seed(0)
    drawn = {
        name: values[int(torch.randint(len(values), (1,), generator=generator))]
        for name, values in space.knobs().items()
    }
    return [space.smallest(), drawn, space.largest()]


def test_values_of_a_knob_make_networks_larger(space: SearchSpace) -> None:
    smallest = space.smallest()
    for name, values in space.knobs().items():
        networks = [space.network_of({**smallest, name: value}, multiple=8) for value in values]
        macs = [_macs(network) for network in networks]
        assert macs == sorted(macs), name
    assert _macs(space.network_of(space.largest(), multiple=8)) > _macs(
        space.network_of(smallest, multiple=8)
    )


def test_parts_are_a_chain_and_all_of_the_network(space: SearchSpace) -> None:
    """Each part reads what the one before makes; together they multiply as much as the network does."""
    for setting in settings(space):
        network = space.network_of(setting, multiple=8)
        parts = network.parts(channels=CHANNELS, classes=CLASSES, size=SIZE)
        x, macs = torch.zeros(1, CHANNELS, *SIZE), 0
        for part in parts:
            assert x.shape == (1, part.channels, part.height, part.width)
            module = part.build().eval()
            macs += count_macs(module, channels=part.channels, height=part.height, width=part.width)
            x = module(x)
        assert x.shape == (1, CLASSES)
        assert macs == _macs(network)
        assert [part.reads_pixels for part in parts] == [True] + [False] * (len(parts) - 1)
        assert [part.makes_logits for part in parts] == [False] * (len(parts) - 1) + [True]


def test_a_network_can_be_written_in_a_pipeline_file(space: SearchSpace) -> None:
    for setting in settings(space):
        network = space.network_of(setting, multiple=8)
        written = {**network.model_dump(mode="json", exclude_unset=True), "kind": network.kind}
        read = TypeAdapter(Network).validate_python(written)
        assert read.model_dump() == network.model_dump()


def test_size_is_the_number_of_settings() -> None:
    """Three stages of 4 depths and 5 widths: (4 * 5) ** 3."""
    assert ResNetSpace().size() == 8000
    assert MobileNetV2Space(downscales=(1, 2)).size() == 5 * 2 * (3 * 2 * 2) ** 5


def test_resnet_rounds_widths_to_the_multiple() -> None:
    """1.5 * (16, 32, 64) = (24, 48, 96), to multiples of 32: (32, 64, 96)."""
    setting = {**ResNetSpace().smallest(), "width1": 1.5, "width2": 1.5, "width3": 1.5}
    network = ResNetSpace().network_of(setting, multiple=32)
    assert [stage.channels for stage in network.all_stages()] == [32, 64, 96]
    assert rounded(47.9, 32) == 32


def test_mobilenet_rounds_depths_up() -> None:
    """Of the paper's 2, 3, 4, 3, 3 blocks a third, rounded up: 1, 2, 2, 2, 2."""
    network = MobileNetV2Space().network_of(MobileNetV2Space().smallest(), multiple=8)
    assert network.stages is not None
    assert [stage.blocks for stage in network.stages] == [1, 1, 2, 2, 2, 2, 1]


def _macs(network: Any) -> int:
    body = network.build(channels=CHANNELS, classes=CLASSES, size=SIZE)
    return count_macs(body, channels=CHANNELS, height=SIZE[0], width=SIZE[1])
