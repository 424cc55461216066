"""The space of MobileNetV2: width and resolution of the whole; depth, expansion and kernel of every stage."""

from typing import Annotated, Literal

from pydantic import Field

from edgekd.search.space import SearchSpace, Setting, Value, ascending
from edgekd.zoo.mobilenet_v2 import MobileNetV2Spec, paper_stages

SEARCHED_STAGES = range(1, 6)
"""Those of several blocks; the first and the last of the seven have one each and stay as they are."""


class MobileNetV2Space(SearchSpace):
    """Inverted residuals.

    Attributes:
        stem: As in the network.
        widths: Multipliers of all channels.
        downscales: 2 halves the resolution of the image on the way in.
        depths: Multipliers of the blocks of each stage of several, rounded up.
        expansions: Of each such stage.
        kernels: Of its depthwise convolutions.
    """

    kind: Literal["mobilenet_v2"] = "mobilenet_v2"
    stem: Literal["small", "imagenet"] = "small"
    widths: tuple[Annotated[float, Field(gt=0, le=4)], ...] = Field(
        default=(0.25, 0.35, 0.5, 0.75, 1.0), min_length=1
    )
    downscales: tuple[Literal[1, 2], ...] = Field(default=(1,), min_length=1)
    depths: tuple[Annotated[float, Field(gt=0, le=8)], ...] = Field(default=(0.34, 0.67, 1.0), min_length=1)
    expansions: tuple[Annotated[int, Field(ge=1, le=16)], ...] = Field(default=(3, 6), min_length=1)
    kernels: tuple[Literal[3, 5, 7], ...] = Field(default=(3, 5), min_length=1)

    def knobs(self) -> dict[str, tuple[Value, ...]]:
        """Return width and downscale of all, then depth, expansion and kernel of every searched stage."""
        whole = {
            "width": ascending(self.widths),
            "downscale": tuple(sorted(set(self.downscales), reverse=True)),
        }
        each = {"depth": self.depths, "expansion": self.expansions, "kernel": self.kernels}
        stages = {
            f"{name}{stage + 1}": ascending(values)
            for stage in SEARCHED_STAGES
            for name, values in each.items()
        }
        return whole | stages

    def network_of(self, setting: Setting, *, multiple: int) -> MobileNetV2Spec:
        """Return the MobileNetV2 of these stages; it rounds widths by its own rule, to multiples of 8."""
        stages = list(paper_stages(self.stem))
        for index in SEARCHED_STAGES:
            paper, number = stages[index], index + 1
            changed = {
                "blocks": max(1, -int(-paper.blocks * setting[f"depth{number}"] // 1)),
                "expansion": setting[f"expansion{number}"],
                "kernel": setting[f"kernel{number}"],
            }
            stages[index] = paper.model_copy(update=changed)
        return MobileNetV2Spec.model_validate(
            {
                "stem": self.stem,
                "width": setting["width"],
                "downscale": setting["downscale"],
                "stages": [stage.model_dump() for stage in stages],
            }
        )
