"""Any network with fewer channels, which keeps what it has learned.

Channels go by the norm of all weights that go with them (`channel_groups`): Li et al. 2017, *Pruning Filters
for Efficient ConvNets*, arXiv:1608.08710, for groups of layers as in Fang et al. 2023, arXiv:2301.12900. How
many remain is a function of the spec and the shape of the images alone; trained weights only decide which.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import ceil
from typing import Annotated, Any, Literal, Self

import torch
from pydantic import Field, JsonValue, SerializeAsAny, model_validator
from torch import Tensor, nn
from torch.nn.utils import parametrize

from edgekd.errors import EdgeKdError, ExportError, SpecError
from edgekd.zoo.channel_groups import ChannelGraph, sound_groups
from edgekd.zoo.network import NetworkSpec, must_classify
from edgekd.zoo.weights import FetchedWeights, GivenWeights
from edgekd.zoo.widths import ChannelGroup, LayerCost, Widths, macs_left, widths_by_part, widths_within

_WIDTHS: dict[tuple[object, ...], Widths] = {}
"""What this process has found out: a run builds the same network several times."""


class PrunedSpec(NetworkSpec):
    """Another network with fewer channels, which keeps what it has learned.

    Attributes:
        network: The network that is made smaller. Given weights are for it.
        keep_macs: The fraction of its multiply-accumulates that may remain, the same fraction of channels in
            all layers, half if nothing is said, or
        keep_channels: the fractions of channels that remain in as many equal parts of its layers.
        keep_layers: Layers that make as many channels as before, or modules that hold them: ``layer4.0``.
        round_to: What numbers of channels are multiples of, where there are enough.
    """

    text_field = "network"

    kind: Literal["pruned"] = "pruned"
    network: SerializeAsAny[NetworkSpec]
    keep_macs: float | None = Field(default=None, gt=0, le=1)
    keep_channels: tuple[Annotated[float, Field(gt=0, le=1)], ...] = ()
    keep_layers: tuple[str, ...] = ()
    round_to: int = Field(default=8, ge=1)

    @model_validator(mode="before")
    @classmethod
    def _half_by_default(cls, fields: Any) -> Any:
        silent = isinstance(fields, dict) and not {"keep_macs", "keep_channels"} & fields.keys()
        return {**fields, "keep_macs": 0.5} if silent else fields

    @model_validator(mode="after")
    def _says_how_much(self) -> Self:
        if (self.keep_macs is None) == (not self.keep_channels):
            msg = "give either keep_macs: 0.5 or keep_channels: [1.0, 0.5]"
            raise ValueError(msg)
        return self

    @property
    def title(self) -> str:
        """Name for people, e.g. ``"resnet20, 50 % of the MACs"``."""
        if self.keep_macs is not None:
            return f"{self.network.title}, {100 * self.keep_macs:.3g} % of the MACs"
        parts = "/".join(f"{100 * part:.3g}" for part in self.keep_channels)
        return f"{self.network.title}, {parts} % of the channels"

    @property
    def brings_weights(self) -> bool:
        """Whether the network that is made smaller does."""
        return self.network.brings_weights

    @property
    def architecture(self) -> dict[str, JsonValue]:
        """All but where its network's files lie."""
        return {**self.model_dump(mode="json"), "network": self.network.architecture}

    def with_architecture(self, architecture: Mapping[str, Any]) -> Self:
        """Return what has this `architecture`."""
        network = self.network.with_architecture(architecture["network"])
        return super().with_architecture({**architecture, "network": network.model_dump()})

    def build(self, *, channels: int, classes: int, size: tuple[int, int]) -> nn.Module:
        """Build the network, and remove channels by its fresh weights.

        Raises:
            RuntimeMissing: If torch-pruning is not installed.
            SpecError: If ``keep_macs`` cannot be reached, or ``keep_layers`` names what is not there.
            ExportError: If no channels can be removed from it.
        """
        shape: dict[str, Any] = {"channels": channels, "classes": classes, "size": size}
        body = self.network.build(**shape)
        self.remove_channels(body, torch.zeros(2, channels, *size))
        return must_classify(body, where=self.title, **shape)

    def given_weights(self, *, channels: int, classes: int, size: tuple[int, int]) -> FetchedWeights | None:
        """Return the weights of the network that is made smaller; `fit` makes them its own."""
        return self.network.given_weights(channels=channels, classes=classes, size=size)

    def fit(
        self, weights: GivenWeights, *, channels: int, classes: int, size: tuple[int, int]
    ) -> GivenWeights:
        """Return trained weights of the network that is made smaller as weights of what remains."""
        return _PrunedWeights(self, weights, channels, classes, size)

    def remove_channels(self, body: nn.Module, images: Tensor) -> None:
        """Remove channels of a whole network for such ``images`` by its weights, in place."""
        if self.keep_macs == 1:
            return
        for layer in list(body.modules()):
            for name in list(getattr(layer, "parametrizations", {})):
                parametrize.remove_parametrizations(layer, name)
        key = (self.digest, images.shape, *(parameter.shape for parameter in body.parameters()))
        try:
            graph = ChannelGraph(body, images)
            if key not in _WIDTHS:
                claimed, costs = list(graph.groups(self._kept(body))), graph.costs()
                _WIDTHS[key] = self._widths(sound_groups(body, images, claimed, costs), costs)
        except EdgeKdError:
            raise
        except Exception as e:  # whatever tracing a foreign forward does
            what = f"{self.network.title} cannot be traced for pruning: {type(e).__name__}: {e}"
            raise ExportError(what, where=self.title, fix="name the network itself, without pruned") from e
        graph.remove_least({group: width for group, width in _WIDTHS[key] if width < group.channels})

    def _kept(self, body: nn.Module) -> tuple[str, ...]:
        names = dict(body.named_modules())
        for name in self.keep_layers:
            if name not in names:
                what = f"{self.network.title} has no layer {name!r}"
                known = ", ".join(name for name, _ in body.named_children())
                raise SpecError(what, where="network.keep_layers", fix=f"it consists of {known}")
        return self.keep_layers

    def _widths(self, groups: Sequence[ChannelGroup], costs: Mapping[str, LayerCost]) -> Widths:
        if not any(len(group.widths(self.round_to)) > 1 for group in groups):
            what = f"no channels can be removed from {self.network.title}, {self.round_to} at a time"
            fix = "set round_to: 1, leave out keep_layers, or name the network itself, without pruned"
            raise ExportError(what, where=self.title, fix=fix)
        if self.keep_macs is None:
            return widths_by_part(groups, self.keep_channels, self.round_to)
        all_macs = sum(cost.macs for cost in costs.values())
        widths = widths_within(groups, costs, self.keep_macs * all_macs, self.round_to)
        if widths is None:
            fewest = widths_by_part(groups, (0.0,), self.round_to)
            least = ceil(1000 * macs_left(costs, fewest) / all_macs) / 1000
            what = f"{self.network.title} cannot shrink to {self.keep_macs:.3g} of its MACs"
            fix = f"set keep_macs to {least} or more, or round_to to less than {self.round_to}"
            raise SpecError(what, where="network.keep_macs", fix=fix)
        return widths


@dataclass(frozen=True)
class _PrunedWeights:
    """Trained weights of a whole network, for what remains of it; see `GivenWeights`."""

    spec: PrunedSpec
    given: GivenWeights
    channels: int
    classes: int
    size: tuple[int, int]

    @property
    def mean(self) -> tuple[float, ...]:
        """Per channel, as a fraction of 255."""
        return self.given.mean

    @property
    def std(self) -> tuple[float, ...]:
        """Per channel, as a fraction of 255."""
        return self.given.std

    def load_into(self, body: nn.Module) -> None:
        """Load the weights into a whole network, remove its channels, and put what remains into ``body``."""
        shape: dict[str, Any] = {"channels": self.channels, "classes": self.classes, "size": self.size}
        whole = self.spec.network.build(**shape)
        self.spec.network.fit(self.given, **shape).load_into(whole)
        self.spec.remove_channels(whole, torch.zeros(2, self.channels, *self.size))
        body.load_state_dict(whole.state_dict())
