"""What every network promises; a new member of the union is tested the moment it is listed."""

from dataclasses import dataclass, field
from typing import Any

import pytest
import torch
import yaml
from pydantic import TypeAdapter
from torch import nn

from edgekd.core import user_code
from edgekd.core.union import members_by_kind
from edgekd.quant.prepare import prepare
from edgekd.unions import Network
from edgekd.zoo.cost import count_params
from edgekd.zoo.pixels import ImageNetwork, PixelGrid

NETWORK: TypeAdapter[Any] = TypeAdapter(Network)
MINE = """
from torch import nn

def build(channels, classes, width=8):
    layers = nn.Conv2d(channels, width, 3, padding=1), nn.BatchNorm2d(width), nn.ReLU()
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(width, classes))
"""


@dataclass(frozen=True)
class Case:
    """The text form of a kind, what has to be added to it to be another network, and its channels."""

    text: str
    other: dict[str, Any] = field(default_factory=dict)
    channels: int = 1


CASES = {
    "mobilenet_v2": Case("mobilenet_v2", {"width": 0.5}),
    "resnet_cifar": Case("resnet_cifar", {"depth": 8}),
    "resnet": Case("resnet", {"width": 0.5}),
    "ds_cnn": Case("ds_cnn", {"size": "medium"}),
    "timm": Case("timm:resnet10t", {"name": "resnet14t"}),
    "torchvision": Case("torchvision:squeezenet1_1", {"name": "resnet18"}, channels=3),
    "python": Case("python:mine.py:build", {"options": {"width": 12}}),
    "pruned": Case("pruned:resnet_cifar", {"keep_macs": 0.7}),
}
KINDS = members_by_kind(Network)

pytestmark = [pytest.mark.parametrize("kind", KINDS), pytest.mark.usefixtures("torchvision")]


@pytest.fixture(autouse=True)
def mine(tmp_path, monkeypatch):
    (tmp_path / "mine.py").write_text(MINE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(user_code, "_ALLOWED", True)


def test_a_network_builds_what_it_says_and_can_be_a_student(kind):
    case = CASES[kind]
    body = NETWORK.validate_python(case.text).build(channels=case.channels, classes=7, size=(32, 32))
    assert isinstance(body, nn.Module)
    assert body.training
    assert body.eval()(torch.zeros(3, case.channels, 32, 32)).shape == (3, 7)
    images = torch.randint(0, 256, (2, 32, 32, case.channels), dtype=torch.uint8)
    assert prepare(ImageNetwork(PixelGrid.like(), body), images)(images).shape == (2, 7)


def test_fresh_weights_come_from_the_global_random_state(kind):
    network, bodies = NETWORK.validate_python(CASES[kind].text), []
    for seed in (0, 0, 1):
        torch.manual_seed(seed)
        bodies.append(network.build(channels=CASES[kind].channels, classes=7, size=(32, 32)))
    first, again, other = (list(body.state_dict().values()) for body in bodies)
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
    assert any(not torch.equal(a, b) for a, b in zip(first, other, strict=True))


def test_the_digest_is_a_function_of_meaning(kind):
    network = NETWORK.validate_python(CASES[kind].text)
    written = yaml.safe_dump(network.model_dump(mode="json"))
    assert NETWORK.validate_python(yaml.safe_load(written)).digest == network.digest
    other = NETWORK.validate_python({**network.model_dump(), **CASES[kind].other})
    assert other.digest != network.digest
    shapes = {"channels": CASES[kind].channels, "classes": 7, "size": (32, 32)}
    assert count_params(other.build(**shapes)) != count_params(network.build(**shapes))


def test_what_an_artifact_keeps_makes_the_same_network(kind):
    network = NETWORK.validate_python(CASES[kind].text)
    assert network.with_architecture(network.architecture) == network
    assert network.title
    assert not network.brings_weights
    assert network.given_weights(channels=3, classes=7, size=(32, 32)) is None
