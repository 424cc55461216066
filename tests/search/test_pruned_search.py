"""A search that makes a network smaller that comes with weights for other classes."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor, nn

from edgekd.core.schedule import Schedule
from edgekd.data.digits import DigitsSpec
from edgekd.search.limits import Limits
from edgekd.search.pruned_space import PrunedSpace
from edgekd.search.search_spec import SearchStudentSpec
from edgekd.zoo.network import NetworkSpec
from edgekd.zoo.resnet_cifar import ResNetCifarSpec
from edgekd.zoo.student import StudentArch, starting_weights, student_network
from edgekd.zoo.weights import FetchedWeights


class Pretrained(NetworkSpec):
    """A ResNet-8 that knows three classes: its classifier starts anew for others, as timm's networks do."""

    kind: Literal["pretrained"] = "pretrained"

    @property
    def title(self) -> str:
        return "pretrained"

    @property
    def brings_weights(self) -> bool:
        return True

    def build(self, *, channels: int, classes: int, size: tuple[int, int]) -> nn.Module:
        return ResNetCifarSpec(depth=8).build(channels=channels, classes=classes, size=size)

    def given_weights(self, *, channels: int, classes: int, size: tuple[int, int]) -> FetchedWeights:
        def fetch(body: nn.Module) -> Mapping[str, Tensor]:
            return {**body.state_dict(), "conv1.weight": torch.full((16, channels, 3, 3), 0.5)}

        return FetchedWeights(mean=(0.4,), std=(0.3,), classes=3, fetch=fetch)


def test_weights_for_other_classes_are_where_a_search_starts(tmp_path: Path) -> None:
    space = PrunedSpace(network=Pretrained(), parts=1, keep=(0.5, 1.0))
    training = Schedule(epochs=1, learning_rate=0.1)
    student = SearchStudentSpec(space=space, limits=Limits(max_macs=10**9), training=training, rungs=(1,))
    (tmp_path / "network.json").write_text(json.dumps({"setting": {"keep1": 0.5}, "multiple": 8}))
    arch, info = StudentArch(folder=tmp_path, key="k", digest="d"), DigitsSpec(image_size=8).info()
    weights = starting_weights(student, arch, info)
    assert weights is not None
    network = student_network(student, arch, info)
    weights.load_into(network.body)
    assert network.body.get_parameter("conv1.weight").unique().tolist() == [0.5]
