"""Channels of a network that can only be removed together, and their removal.

Source: Fang et al. 2023, *DepGraph: Towards Any Structural Pruning*, arXiv:2301.12900, as torch-pruning does
it: its graph says what goes with a channel of a layer, its group norm which channels matter. Where we differ:
no claim of the graph is believed. A group counts only if, with random weights in the network, the logits do
not depend on what makes its channels once what reads them is zero, or the other way round, and if the network
without them runs at the cost that it should. So groups are a function of the architecture, never of weights.
"""

import copy
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import gcd
from typing import Any

import torch
from torch import Tensor, nn

from edgekd.core.optional import require
from edgekd.zoo.cost import macs_by_layer
from edgekd.zoo.widths import ChannelGroup, LayerCost, macs_left

_ROUNDING = 1e-5
_CUTS_HEADS = ("bmm", "softmax", "scaleddot")  # attention: a head is a part of the channels


@dataclass(frozen=True)
class _Member:
    """A layer, parameter or operator that goes with channels of a root.

    Attributes:
        layer: The network's own layer or parameter, or torch-pruning's stand-in for an operator.
        operator: Name of the operator's gradient.
        makes: Whether they are what it makes, or else what it reads.
        dimension: Of a parameter.
        indices: Its channels.
        roots: The root's channel for each of them; None if that is not known.
    """

    layer: Any
    operator: str
    makes: bool
    dimension: int
    indices: list[int]
    roots: list[int | None]


class Claim:
    """What makes channels and what reads them, if the graph is right; all methods change it in place."""

    def __init__(self, members: Sequence[_Member]) -> None:
        self.makers = [m for m in members if m.makes and not isinstance(m.layer, nn.PReLU)]
        self.readers = [m for m in members if not m.makes and isinstance(m.layer, nn.Conv2d | nn.Linear)]
        across_channels = nn.LayerNorm | nn.GroupNorm | nn.Parameter
        self.normalized = any(isinstance(m.layer, across_channels) for m in members)

    def silence(self) -> None:
        """Set one side to zero: what reads the channels, for an activation may make something out of zero.

        What makes them, where a normalization looks across all channels, those that are never read too.
        """
        (self.scale_makers if self.normalized else self.scale_readers)(0)

    def disturb(self) -> None:
        """Change the other side: the logits must not notice."""
        (self.scale_readers if self.normalized else self.scale_makers)(-2)

    @torch.no_grad()
    def scale_makers(self, factor: int) -> None:
        """Multiply the weights of what makes the channels."""
        for maker in self.makers:
            if isinstance(maker.layer, nn.Parameter):
                maker.layer.transpose(0, maker.dimension)[maker.indices] *= factor
            else:
                for parameter in maker.layer.parameters(recurse=False):
                    parameter[maker.indices] *= factor

    @torch.no_grad()
    def scale_readers(self, factor: int) -> None:
        """Multiply the weights of what reads the channels."""
        for reader in self.readers:
            inputs = reader.layer.weight.shape[1]  # of each group of a convolution
            reader.layer.weight[:, sorted({index % inputs for index in reader.indices})] *= factor


class ChannelGraph:
    """What goes with which channel of a network. Removing channels changes the network in place."""

    def __init__(self, body: nn.Module, images: Tensor) -> None:
        self.body = body
        self.images = images
        self.layers = dict(body.named_modules())
        self.pruning = require("torch_pruning", package="torch-pruning", extra="search")
        for parameter in body.parameters():
            parameter.requires_grad_()  # the graph is that of gradients
        training = body.training
        with torch.enable_grad():
            self.graph = self.pruning.DependencyGraph().build_dependency(
                body.eval(), [images], output_transform=lambda logits: logits + 0, verbose=False
            )
        body.train(training)

    def costs(self) -> dict[str, LayerCost]:
        """Return what each layer costs for one image, by its name."""
        channels, height, width = self.images.shape[1:]
        macs = macs_by_layer(self.body, channels=channels, height=height, width=width)
        return {name: LayerCost(cost, *_channels(self.layers[name])) for name, cost in macs.items()}

    def groups(self, kept: Iterable[str]) -> Iterator[ChannelGroup]:
        """Yield the groups that the graph claims, in the order of their first layers.

        Args:
            kept: Layers whose outputs stay, or modules that hold such layers.
        """
        names = {layer: name for name, layer in self.layers.items()}
        stay = {layer for layer, name in names.items() if any(f"{name}.".startswith(f"{k}.") for k in kept)}
        shared = _with_shared_weights(self.body)
        seen: set[nn.Module] = set()
        for layer in self.layers.values():
            if layer in seen or not _is_root(layer) or layer not in self.graph.module2node:
                continue
            members = self._members(layer, range(_channels(layer)[0]))
            made = {member.layer for member in members if member.makes}
            seen |= made
            block = _block(_channels(layer)[0], members)
            if block > 1 and not made & stay and not {member.layer for member in members} & shared:
                yield _described(names, layer, block, members)

    def remove_least(self, widths: Mapping[ChannelGroup, int]) -> None:
        """Leave so many channels of each group, those that matter most, in place.

        A channel matters as much as the squared norm of all weights that go with it. In each block of a group
        the same channels go; of two that matter as much, the later one.
        """
        measure = self.pruning.importance.GroupMagnitudeImportance(p=2)
        least = {}
        for group, width in widths.items():
            norms = measure(self._found(self.layers[group.root], range(group.channels)))
            by_place = norms.reshape(-1, group.block).sum(0)
            order = by_place.sort(descending=True, stable=True).indices.tolist()
            least[group] = group.channels_at(sorted(order[width * group.block // group.channels :]))
        for group, channels in least.items():
            self.remove(group, channels)

    def remove(self, group: ChannelGroup, channels: Sequence[int]) -> None:
        """Remove channels of a group, in place."""
        self._found(self.layers[group.root], channels).prune()

    def claim(self, group: ChannelGroup, channels: Sequence[int]) -> Claim:
        """Return what the graph says goes with channels of a group."""
        return Claim(self._members(self.layers[group.root], channels))

    def _found(self, root: nn.Module, channels: Iterable[int]) -> Any:
        make = self.graph.get_pruner_of_module(root).prune_out_channels
        return self.graph.get_pruning_group(root, make, list(channels))

    def _members(self, root: nn.Module, channels: Iterable[int]) -> list[_Member]:
        return [
            _Member(
                layer=item.dep.layer,
                operator=getattr(item.dep.target.grad_fn, "name", str)().lower(),
                makes=self.graph.is_out_channel_pruning_fn(item.dep.handler),
                dimension=item.dep.target.pruning_dim,
                indices=list(item.idxs),
                roots=list(item.root_idxs),
            )
            for item in self._found(root, channels).items
        ]


def sound_groups(
    body: nn.Module, images: Tensor, groups: Sequence[ChannelGroup], costs: Mapping[str, LayerCost]
) -> list[ChannelGroup]:
    """Return those of ``groups`` that are what the graph of ``body`` claims; see this file's head.

    All are tried at once, and halves of them where that fails.
    """
    if not groups or _are_sound(body, images, groups, costs):
        return list(groups)
    if len(groups) == 1:
        return []
    middle = len(groups) // 2
    halves = [sound_groups(body, images, half, costs) for half in (groups[:middle], groups[middle:])]
    return [group for half in halves for group in half]


def _are_sound(
    body: nn.Module, images: Tensor, groups: Sequence[ChannelGroup], costs: Mapping[str, LayerCost]
) -> bool:
    random = torch.Generator().manual_seed(0)
    noise = torch.randn(images.shape, generator=random)
    removed = {
        group: group.channels_at(torch.randperm(group.block, generator=random)[: group.block // 2].tolist())
        for group in groups
    }
    try:
        probe = ChannelGraph(_lively(copy.deepcopy(body), noise, random), images)
        claims = [probe.claim(group, channels) for group, channels in removed.items()]
        with torch.no_grad():
            for claim in claims:
                claim.silence()
            logits = probe.body(noise)
            for claim in claims:
                claim.disturb()
            noticed = (probe.body(noise) - logits).abs().max() / logits.abs().max()
        for group, channels in removed.items():
            probe.remove(group, channels)
        left = sum(cost.macs for cost in probe.costs().values())
    except Exception:  # whatever a foreign forward does with other shapes
        return False
    widths = [(group, group.channels - len(channels)) for group, channels in removed.items()]
    return bool(noticed < _ROUNDING) and left == macs_left(costs, widths)


@torch.no_grad()
def _lively(body: nn.Module, noise: Tensor, random: torch.Generator) -> nn.Module:
    """Put a network into eval mode with random weights of such sizes that all of it counts; in place."""
    for parameter in body.parameters():
        fan_in = parameter[0].numel() if parameter.dim() > 1 else 2
        parameter.copy_(torch.randn(parameter.shape, generator=random) * (2 / fan_in) ** 0.5)
    norms = [layer for layer in body.eval().modules() if isinstance(layer, nn.modules.batchnorm._BatchNorm)]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # the average over all batches
        norm.train()
    body(noise)
    return body.eval()


def _is_root(layer: nn.Module) -> bool:
    depthwise = isinstance(layer, nn.Conv2d) and layer.groups == layer.out_channels > 1
    return isinstance(layer, nn.Conv2d | nn.Linear) and not depthwise


def _channels(layer: nn.Module) -> tuple[int, int]:
    """Return outputs and inputs of a layer."""
    if isinstance(layer, nn.Conv2d):
        return layer.out_channels, layer.in_channels
    assert isinstance(layer, nn.Linear)
    return layer.out_features, layer.in_features


def _with_shared_weights(body: nn.Module) -> set[nn.Module]:
    """Find the layers whose weights another layer has too."""
    owners: dict[nn.Parameter, list[nn.Module]] = {}
    for layer in body.modules():
        for parameter in layer.parameters(recurse=False):
            owners.setdefault(parameter, []).append(layer)
    return {layer for layers in owners.values() if len(layers) > 1 for layer in layers}


def _block(channels: int, members: Sequence[_Member]) -> int:
    """Return the length of the equal parts that must lose the same channels; 1 if none can go at all."""
    borders = {channels}
    for member in members:
        borders |= _borders(channels, member)
    return gcd(*borders)


def _borders(channels: int, member: _Member) -> set[int]:
    layer, roots = member.layer, set(member.roots)
    if None in roots or not _is_understood(member):
        return {1}
    borders = {i for i in range(1, channels) if (i in roots) != (i - 1 in roots)}
    parts = {nn.GroupNorm: "num_groups", nn.Conv2d: "groups"}
    count = next((getattr(layer, name) for kind, name in parts.items() if isinstance(layer, kind)), 1)
    depthwise = isinstance(layer, nn.Conv2d) and layer.groups == layer.out_channels
    if count == 1 or depthwise:
        return borders
    whole = sorted(member.indices) == list(range(channels)) and member.indices == member.roots
    return borders | {channels // count if whole else 1}


def _is_understood(member: _Member) -> bool:
    """Whether torch-pruning removes channels of such a member as it should."""
    layer = member.layer
    if isinstance(layer, nn.Conv2d):
        return not layer.groups == layer.out_channels != layer.in_channels
    if isinstance(layer, nn.LayerNorm):
        return len(layer.normalized_shape) == 1
    known = nn.Linear | nn.modules.batchnorm._BatchNorm | nn.GroupNorm | nn.PReLU | nn.Parameter
    if isinstance(layer, known):
        return True
    stands_for_an_operator = type(layer).__module__.startswith("torch_pruning.")
    is_output = type(layer).__name__ == "_OutputOp"
    return (
        stands_for_an_operator and not is_output and not any(word in member.operator for word in _CUTS_HEADS)
    )


def _described(
    names: Mapping[nn.Module, str], root: nn.Module, block: int, members: Sequence[_Member]
) -> ChannelGroup:
    known = [member for member in members if isinstance(member.layer, nn.Conv2d | nn.Linear)]
    return ChannelGroup(
        root=names[root],
        channels=_channels(root)[0],
        block=block,
        made=tuple((names[member.layer], len(member.indices)) for member in known if member.makes),
        read=tuple((names[member.layer], len(member.indices)) for member in known if not member.makes),
    )
