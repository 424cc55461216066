"""Channels that are removed, by hand and by their effect on networks of all kinds."""

import json
import sys
from typing import Literal

import pytest
import torch
from pydantic import TypeAdapter, ValidationError
from safetensors.torch import save_file
from torch import nn

from edgekd.core import user_code
from edgekd.data.dataset import DataInfo
from edgekd.errors import ExportError, RuntimeMissing, SpecError
from edgekd.unions import Network
from edgekd.zoo.channel_groups import ChannelGraph, sound_groups
from edgekd.zoo.cost import count_macs
from edgekd.zoo.network import NetworkSpec, build_body, given_weights
from edgekd.zoo.pruned import PrunedSpec
from edgekd.zoo.resnet_cifar import ResNetCifarSpec
from edgekd.zoo.timm_network import TimmSpec
from edgekd.zoo.torchvision_network import TorchvisionSpec
from edgekd.zoo.weights import WeightsSpec

pytestmark = pytest.mark.usefixtures("torchvision")
NETWORK = TypeAdapter(Network)
SHAPE = {"channels": 3, "classes": 10, "size": (32, 32)}
INFO = DataInfo(tuple("0123456789"), 32, 32, 3, "RGB", "none")


def pruned(network, **fields):
    return NETWORK.validate_python({"kind": "pruned", "network": network, **fields})


def shapes(body):
    return {name: tuple(tensor.shape) for name, tensor in body.state_dict().items()}


def macs(body):
    return count_macs(body, channels=3, height=32, width=32)


class TwoConvs(NetworkSpec):
    kind: Literal["two_convs"] = "two_convs"

    @property
    def title(self):
        return self.kind

    def build(self, *, channels, classes, size):
        first, second = nn.Conv2d(channels, 4, 1), nn.Conv2d(4, classes, 1)
        return nn.Sequential(first, nn.ReLU(), second, nn.AdaptiveAvgPool2d(1), nn.Flatten())


def test_the_channels_with_the_greatest_norm_over_all_that_goes_with_them_stay():
    """Squares of the first layer 4, 1, 9, 1 and of the second 0, 9, 0, 1: sums 4, 10, 9, 2; 1 and 2 stay."""
    whole = TwoConvs().build(channels=1, classes=2, size=(4, 4))
    with torch.no_grad():
        whole[0].weight.copy_(torch.tensor([2.0, 1, 3, -1]).reshape(4, 1, 1, 1))
        whole[2].weight.zero_()[1] = torch.tensor([0.0, -3, 0, 1]).reshape(4, 1, 1)
    by_hand = {
        "0.weight": whole[0].weight[1:3],
        "0.bias": whole[0].bias[1:3],
        "2.weight": whole[2].weight[:, 1:3],
        "2.bias": whole[2].bias,
    }
    sliced = nn.Sequential(nn.Conv2d(1, 2, 1), nn.ReLU(), nn.Conv2d(2, 2, 1), *whole[3:])
    sliced.load_state_dict(by_hand)
    PrunedSpec(network=TwoConvs(), keep_channels=(0.5,), round_to=1).remove_channels(
        whole, torch.zeros(2, 1, 4, 4)
    )
    assert whole.state_dict().keys() == by_hand.keys()
    assert all(torch.equal(whole.state_dict()[name], tensor) for name, tensor in by_hand.items())
    images = torch.randn(3, 1, 4, 4)
    assert torch.equal(whole(images), sliced(images))


@pytest.mark.parametrize(
    "network",
    ["resnet_cifar", "mobilenet_v2", "timm:resnet18", "timm:test_vit2", "torchvision:squeezenet1_1"],
)
def test_half_of_the_macs_are_nearly_half_of_the_macs(network):
    whole = macs(NETWORK.validate_python(network).build(**SHAPE))
    left = macs(pruned(network, keep_macs=0.5).build(**SHAPE))
    assert 0.49 < left / whole <= 0.5


KINDS = {
    "resnet_cifar": "zeros beside channels",
    "mobilenet_v2": "depthwise convolutions",
    "timm:resnet18": "projections",
    "timm:resnext26ts": "grouped convolutions",
    "timm:mobilenetv3_small_100": "squeeze and excitation",
    "timm:ghostnet_100": "slices",
    "timm:hgnetv2_b0": "activations that make something out of zero",
    "torchvision:squeezenet1_1": "concatenations",
}


@pytest.mark.parametrize("network", KINDS, ids=KINDS.values())
def test_channels_that_nothing_depends_on_go_and_the_logits_stay(network):
    torch.manual_seed(0)
    spec = pruned(network, keep_channels=[0.5], round_to=1)
    body, images = spec.network.build(**SHAPE), torch.zeros(2, 3, 32, 32)
    graph = ChannelGraph(body, images)
    groups = sound_groups(body, images, list(graph.groups(())), graph.costs())
    for group in groups:
        claim = graph.claim(group, group.channels_at(range(0, group.block, 2)))
        claim.scale_makers(0)
        claim.scale_readers(0)
    images = torch.randn(2, 3, 32, 32)
    with torch.no_grad():
        expected = body.eval()(images)
        whole = macs(body)
        spec.remove_channels(body, images)
        assert macs(body) < 0.6 * whole
        torch.testing.assert_close(body.eval()(images), expected, rtol=1e-3, atol=1e-4)


def test_heads_of_attention_stay_and_the_rest_of_a_transformer_shrinks():
    whole = TimmSpec(name="test_vit2").build(**SHAPE)
    body = pruned("timm:test_vit2", keep_channels=[0.5]).build(**SHAPE)
    assert whole.blocks[0].attn.qkv.weight.shape == (192, 64)
    assert body.blocks[0].attn.qkv.weight.shape == (192, 32)
    assert body.blocks[0].mlp.fc1.weight.shape == (whole.blocks[0].mlp.fc1.out_features // 2, 32)
    assert body.pos_embed.shape[-1] == 32


def test_normalizations_of_groups_lose_channels_in_every_group():
    body = pruned("timm:test_efficientnet_gn", keep_macs=0.5).build(**SHAPE)
    norms = [layer for layer in body.modules() if isinstance(layer, nn.GroupNorm)]
    assert norms
    assert all(norm.num_channels % norm.num_groups == 0 for norm in norms)


def test_shapes_are_a_function_of_the_spec_and_weights_only_choose():
    spec, bodies = pruned({"kind": "resnet_cifar", "depth": 8}, keep_macs=0.6), []
    for seed in (0, 1):
        torch.manual_seed(seed)
        whole = spec.network.build(**SHAPE)
        bodies.append(whole)
        spec.remove_channels(whole, torch.zeros(2, 3, 32, 32))
    assert shapes(bodies[0]) == shapes(bodies[1])
    for name, small in bodies[0].state_dict().items():
        if name.endswith("conv2.weight"):
            assert not torch.equal(small, bodies[1].state_dict()[name])


def test_all_of_a_network_is_the_network_itself(monkeypatch):
    monkeypatch.setitem(sys.modules, "torch_pruning", None)
    bodies = []
    for network in ({"kind": "resnet_cifar", "depth": 8}, pruned("resnet_cifar", keep_macs=1.0).model_dump()):
        torch.manual_seed(0)
        if network["kind"] == "pruned":
            network["network"]["depth"] = 8
        bodies.append(NETWORK.validate_python(network).build(**SHAPE).state_dict())
    assert bodies[0].keys() == bodies[1].keys()
    assert all(torch.equal(tensor, bodies[1][name]) for name, tensor in bodies[0].items())
    with pytest.raises(RuntimeMissing) as error:
        pruned("resnet_cifar", keep_macs=0.4).build(**SHAPE)
    assert error.value.fix == "pip install 'edgekd[search]'"


def test_each_part_of_a_network_keeps_its_own_fraction_and_what_is_named_keeps_all():
    spec = pruned("resnet_cifar", keep_channels=[1.0, 0.5, 0.25], keep_layers=["layer2.0"])
    body = spec.build(**SHAPE)
    inner = [
        stage[i].conv1.out_channels for stage in (body.layer1, body.layer2, body.layer3) for i in range(3)
    ]
    assert inner == [16, 16, 16, 32, 16, 16, 32, 16, 16]  # eight groups in three parts: 3, 3, 2
    assert [body.conv1.in_channels, body.linear.out_features] == [3, 10]
    assert spec.title == "resnet20, 100/50/25 % of the channels"
    assert pruned("timm:resnet18", keep_macs=0.5).title == "timm resnet18, 50 % of the MACs"


def test_given_weights_are_those_of_the_whole_network(tmp_path):
    torch.manual_seed(0)
    spec = pruned({"kind": "resnet_cifar", "depth": 8}, keep_macs=0.6)
    whole = spec.network.build(**SHAPE)
    save_file(whole.state_dict(), tmp_path / "whole.safetensors")
    file = WeightsSpec(path=str(tmp_path / "whole.safetensors"), mean=(0.5,) * 3, std=(0.25,) * 3)
    weights = given_weights(spec, file, INFO, trained=False)
    assert (weights.mean, weights.std) == (file.mean, file.std)
    body = build_body(spec, INFO)
    weights.load_into(body)
    spec.remove_channels(whole, torch.zeros(2, 3, 32, 32))
    assert body.state_dict().keys() == whole.state_dict().keys()
    assert all(torch.equal(tensor, whole.state_dict()[name]) for name, tensor in body.state_dict().items())


def test_a_pretrained_network_brings_what_remains_of_its_weights(tmp_path):
    torch.manual_seed(3)
    whole = TimmSpec(name="resnet10t").build(channels=3, classes=1000, size=(32, 32))
    save_file(whole.state_dict(), tmp_path / "model.safetensors")
    overlay = {"pretrained_cfg_overlay": {"file": str(tmp_path / "model.safetensors")}}
    network = {"kind": "timm", "name": "resnet10t", "pretrained": True, "options": overlay}
    spec = pruned(network, keep_layers=["conv1"], keep_macs=0.7)
    assert spec.brings_weights
    with pytest.raises(SpecError, match="knows 1000 classes, the data have 10"):
        given_weights(spec, None, INFO, trained=False)
    weights = given_weights(spec, None, INFO, trained=True)
    assert weights.mean == (0.485, 0.456, 0.406)
    body = build_body(spec, INFO)
    weights.load_into(body)
    assert torch.equal(body.conv1[0].weight, whole.conv1[0].weight)
    rows = {tuple(row.flatten().tolist()) for row in whole.layer1[0].conv1.weight}
    kept = body.layer1[0].conv1
    assert kept.out_channels < len(rows)
    assert all(tuple(row.flatten().tolist()) in rows for row in kept.weight)


MINE = """
import torch
from torch import nn
from torch.nn.utils.parametrizations import weight_norm

class Mine(nn.Module):
    def __init__(self, channels, classes):
        super().__init__()
        self.left = weight_norm(nn.Conv2d(channels, 16, 3, padding=1))
        self.right = nn.Conv2d(channels, 32, 3, padding=1)
        self.twice = nn.Conv2d(48, 48, 1)
        self.linear = nn.Linear(48 * 16, classes)

    def forward(self, x):
        x = torch.cat((torch.sigmoid(self.left(x)), torch.relu(self.right(x))), 1)
        x = torch.relu(self.twice(torch.relu(self.twice(x))))
        return self.linear(nn.functional.adaptive_avg_pool2d(x, 4).flatten(1))

def build(channels, classes):
    return Mine(channels, classes)
"""


def test_a_network_of_the_users_own_shrinks_too(tmp_path, monkeypatch):
    (tmp_path / "mine.py").write_text(MINE)
    monkeypatch.setattr(user_code, "_ALLOWED", True)
    spec = pruned(f"python:{tmp_path}/mine.py:build", keep_macs=0.5)
    body = spec.build(**SHAPE)
    assert macs(body) <= 0.5 * macs(spec.network.build(**SHAPE))
    assert (body.left.out_channels + body.right.out_channels) == body.twice.in_channels
    stored = json.loads(json.dumps(spec.architecture))
    assert "file" not in stored["network"]
    assert spec.with_architecture(stored) == spec
    digest = spec.digest
    (tmp_path / "mine.py").write_text(MINE + "# changed\n")
    assert spec.digest != digest


@pytest.mark.parametrize(
    ("fields", "what"),
    [
        ({"keep_macs": None}, "either keep_macs: 0.5 or keep_channels"),
        ({"keep_macs": 0.5, "keep_channels": [0.5]}, "either keep_macs: 0.5 or keep_channels"),
        ({"keep_macs": 0.0}, "greater than 0"),
        ({"keep_channels": [0.5, 1.5]}, "less than or equal to 1"),
        ({"keep_macs": 0.5, "network": "onnx:a.onnx"}, "onnx is for teachers only"),
        ({"keep_macs": 0.5, "network": {"kind": "pruned", "network": "resnet"}}, "'pruned'"),
    ],
)
def test_a_spec_says_how_much_of_which_network_or_means_half(fields, what):
    with pytest.raises(ValidationError, match=what):
        pruned(**{"network": "resnet_cifar", **fields})
    assert NETWORK.validate_python("pruned:timm:resnet18") == pruned("timm:resnet18", keep_macs=0.5)


class Flipped(TwoConvs):
    """Torch-pruning takes the order of its channels for what it was: what runs without them is not it."""

    kind: Literal["flipped"] = "flipped"

    def build(self, *, channels, classes, size):
        class Net(nn.Module):
            def __init__(self):
                super().__init__()
                self.conv = nn.Conv2d(channels, 32, 1)
                self.linear = nn.Linear(32, classes)

            def forward(self, x):
                return self.linear(self.conv(x).mean((2, 3)).flip(1))

        return Net()


@pytest.mark.parametrize(
    ("spec", "kind", "what", "fix"),
    [
        (PrunedSpec(network=TwoConvs(), keep_macs=0.5), ExportError, "no channels can be", "round_to: 1"),
        (PrunedSpec(network=Flipped(), keep_macs=0.5), ExportError, "no channels can be", "without pruned"),
        (
            PrunedSpec(network=TorchvisionSpec(name="shufflenet_v2_x0_5"), keep_macs=0.5),
            ExportError,
            "cannot be traced for pruning",
            "without pruned",
        ),
        (
            PrunedSpec(network=ResNetCifarSpec(depth=8), keep_macs=0.1),
            SpecError,
            "cannot shrink to 0.1 of its MACs",
            "set keep_macs to 0.338 or more",
        ),
        (
            PrunedSpec(network=ResNetCifarSpec(depth=8), keep_macs=0.5, keep_layers=("layer9",)),
            SpecError,
            "no layer 'layer9'",
            "it consists of conv1, bn1, layer1",
        ),
    ],
)
def test_what_cannot_shrink_is_refused_with_a_way_out(spec, kind, what, fix):
    with pytest.raises(kind, match=what) as error:
        spec.build(**SHAPE)
    assert fix in error.value.fix
