"""The space of one network with fewer channels, part by part: what it has learned goes with them."""

from typing import Annotated, Literal

from pydantic import Field

from edgekd.search.space import SearchSpace, Setting, Value, ascending
from edgekd.zoo.network import NetworkSpec
from edgekd.zoo.pruned import PrunedSpec


class PrunedSpace(SearchSpace):
    """Any network with fewer channels. Trials start from its weights, and are timed as a whole.

    Attributes:
        network: The network that is made smaller.
        parts: Equal parts of its layers, in their order, that have fractions of their own.
        keep: Fractions of channels that a part may keep.
        keep_layers: As in the network kind ``pruned``.
    """

    kind: Literal["pruned"] = "pruned"
    network: NetworkSpec
    parts: int = Field(default=4, ge=1, le=32)
    keep: tuple[Annotated[float, Field(gt=0, le=1)], ...] = Field(
        default=(0.25, 0.375, 0.5, 0.75, 1.0), min_length=1
    )
    keep_layers: tuple[str, ...] = ()

    @property
    def brings_weights(self) -> bool:
        """Whether the network does."""
        return self.network.brings_weights

    @property
    def takes_weights(self) -> bool:
        """Given weights are for the whole network."""
        return True

    def knobs(self) -> dict[str, tuple[Value, ...]]:
        """Return what each part keeps."""
        return {f"keep{number}": ascending(self.keep) for number in range(1, self.parts + 1)}

    def network_of(self, setting: Setting, *, multiple: int) -> PrunedSpec:
        """Return the network with what each part keeps."""
        return PrunedSpec(
            network=self.network,
            keep_channels=tuple(setting[f"keep{number}"] for number in range(1, self.parts + 1)),
            keep_layers=self.keep_layers,
            round_to=multiple,
        )
