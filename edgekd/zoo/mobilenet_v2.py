"""MobileNetV2: inverted residuals with linear bottlenecks.

Source: Sandler et al. 2018, arXiv:1801.04381, table 2 (stages), sec. 3 (block), sec. 6.1 (width multiplier).
Where we differ: the ``small`` stem takes two of the five strides away, for images below 64 pixels; and there
is no dropout.
"""

from collections import OrderedDict
from typing import Literal

from pydantic import Field
from torch import Tensor, nn

from edgekd.zoo.network import NetworkSpec, init_convolutions, round_channels

# Table 2: expansion, channels, blocks, stride of the first block.
STAGES = (
    (1, 16, 1, 1),
    (6, 24, 2, 2),
    (6, 32, 3, 2),
    (6, 64, 4, 2),
    (6, 96, 3, 1),
    (6, 160, 3, 2),
    (6, 320, 1, 1),
)
STEM_CHANNELS = 32
HEAD_CHANNELS = 1280


class MobileNetV2Spec(NetworkSpec):
    """MobileNetV2.

    Attributes:
        width: Multiplier of all channel counts; the head's 1280 only grow with it, as in the paper.
        stem: ``"imagenet"`` divides the image size by 32; ``"small"`` by 8 (stem and 24-channel stage
            have stride 1).
    """

    kind: Literal["mobilenet_v2"] = "mobilenet_v2"
    width: float = Field(default=1.0, gt=0, le=4)
    stem: Literal["small", "imagenet"] = "small"

    @property
    def title(self) -> str:
        """Name for people, e.g. ``"mobilenet_v2 x0.5"``."""
        return f"mobilenet_v2 x{self.width:g}"

    def build(self, *, channels: int, classes: int, size: tuple[int, int]) -> nn.Module:
        """Build the body: float images (n, channels, height, width) to logits (n, classes)."""
        return MobileNetV2(channels, classes, width=self.width, small=self.stem == "small")


class MobileNetV2(nn.Module):
    """The network of `MobileNetV2Spec`."""

    def __init__(self, channels: int, classes: int, *, width: float, small: bool) -> None:
        super().__init__()
        wide = round_channels(STEM_CHANNELS * width)
        self.stem = _conv_bn(channels, wide, 3, stride=1 if small else 2)
        self.blocks = nn.Sequential()
        for stage, (expansion, stage_channels, blocks, stage_stride) in enumerate(STAGES):
            out_channels = round_channels(stage_channels * width)
            for block in range(blocks):
                stride = stage_stride if block == 0 and not (small and stage == 1) else 1
                self.blocks.append(InvertedResidual(wide, out_channels, expansion=expansion, stride=stride))
                wide = out_channels
        head_channels = round_channels(HEAD_CHANNELS * max(1.0, width))
        self.head = _conv_bn(wide, head_channels, 1)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.classifier = nn.Linear(head_channels, classes)
        init_convolutions(self)

    def forward(self, x: Tensor) -> Tensor:
        """Map float images (n, channels, height, width) to logits (n, classes)."""
        x = self.head(self.blocks(self.stem(x)))
        logits: Tensor = self.classifier(self.pool(x).flatten(1))
        return logits


class InvertedResidual(nn.Module):
    """Expand 1x1, filter depthwise 3x3, project 1x1 without activation; add the input where shapes allow."""

    def __init__(self, in_channels: int, out_channels: int, *, expansion: int, stride: int) -> None:
        super().__init__()
        hidden = in_channels * expansion
        self.residual = stride == 1 and in_channels == out_channels
        self.expand = _conv_bn(in_channels, hidden, 1) if expansion > 1 else None
        self.depthwise = _conv_bn(hidden, hidden, 3, stride=stride, groups=hidden)
        self.project = _conv_bn(hidden, out_channels, 1, activation=False)

    def forward(self, x: Tensor) -> Tensor:
        """Map (n, in_channels, h, w) to (n, out_channels, h / stride, w / stride)."""
        hidden = x if self.expand is None else self.expand(x)
        y: Tensor = self.project(self.depthwise(hidden))
        return x + y if self.residual else y


def _conv_bn(
    in_channels: int,
    out_channels: int,
    kernel: int,
    *,
    stride: int = 1,
    groups: int = 1,
    activation: bool = True,
) -> nn.Sequential:
    layers: OrderedDict[str, nn.Module] = OrderedDict(
        conv=nn.Conv2d(in_channels, out_channels, kernel, stride, kernel // 2, groups=groups, bias=False),
        bn=nn.BatchNorm2d(out_channels),
    )
    if activation:
        layers["act"] = nn.ReLU6()
    return nn.Sequential(layers)
