"""The space of residual networks: depth and width of every stage."""

from typing import Annotated, Literal

from pydantic import Field

from edgekd.search.space import SearchSpace, Setting, Value, ascending, rounded
from edgekd.zoo.resnet import STAGE_CHANNELS, ResNetSpec, Stage, Stem

SMALL_STAGE_CHANNELS = (16, 32, 64)
"""Of the residual networks for images of 32 pixels: He et al. 2016, arXiv:1512.03385, sec. 4.2."""


class ResNetSpace(SearchSpace):
    """Residual networks of two 3x3 convolutions per block.

    Attributes:
        stem: ``small``: three stages of about 16, 32 and 64 channels, for images below 64 pixels;
            ``imagenet``: four of about 64, 128, 256 and 512.
        blocks: Blocks that a stage may have.
        widths: Multipliers that the channels of a stage may have.
    """

    kind: Literal["resnet"] = "resnet"
    stem: Stem = "small"
    blocks: tuple[Annotated[int, Field(ge=1, le=64)], ...] = Field(default=(1, 2, 3, 4), min_length=1)
    widths: tuple[Annotated[float, Field(gt=0, le=8)], ...] = Field(
        default=(0.5, 1.0, 1.5, 2.0, 3.0), min_length=1
    )

    def knobs(self) -> dict[str, tuple[Value, ...]]:
        """Return blocks and width of every stage."""
        numbers = range(1, len(self._channels) + 1)
        blocks = {f"blocks{number}": ascending(self.blocks) for number in numbers}
        return blocks | {f"width{number}": ascending(self.widths) for number in numbers}

    def network_of(self, setting: Setting, *, multiple: int) -> ResNetSpec:
        """Return the residual network of these stages."""
        stages = tuple(
            Stage(
                blocks=int(setting[f"blocks{number}"]),
                channels=rounded(channels * setting[f"width{number}"], multiple),
            )
            for number, channels in enumerate(self._channels, start=1)
        )
        return ResNetSpec(stem=self.stem, stages=stages)

    @property
    def _channels(self) -> tuple[int, ...]:
        return SMALL_STAGE_CHANNELS if self.stem == "small" else STAGE_CHANNELS
