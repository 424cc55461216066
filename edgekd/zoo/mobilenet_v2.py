"""MobileNetV2: inverted residuals with linear bottlenecks.

Source: Sandler et al. 2018, arXiv:1801.04381, table 2 (stages), sec. 3 (block), sec. 6.1 (width multiplier).
Where we differ: the ``small`` stem takes two of the five strides away, for images below 64 pixels; there is
no dropout; stages may be given one by one, with kernels of their own; and the image may be halved on the way
in (sec. 6.1 halves the data instead).
"""

from collections import OrderedDict
from collections.abc import Iterator
from typing import ClassVar, Literal

from pydantic import Field
from torch import Tensor, nn

from edgekd.core.spec_base import Spec
from edgekd.zoo.network import NetworkSpec, init_convolutions, round_channels
from edgekd.zoo.part import Part, strided

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


class InvertedStage(Spec):
    """One stage of inverted residuals, a row of table 2.

    Attributes:
        expansion: Channels of the depthwise convolution, as a multiple of the block's input.
        channels: That each block makes.
        blocks: How many.
        stride: Of the first block.
        kernel: Of the depthwise convolutions.
    """

    expansion: int = Field(ge=1, le=16)
    channels: int = Field(ge=1, le=4096)
    blocks: int = Field(ge=1, le=64)
    stride: Literal[1, 2]
    kernel: Literal[3, 5, 7] = 3


class MobileNetV2Spec(NetworkSpec):
    """MobileNetV2.

    Attributes:
        width: Multiplier of all channel counts; the head's 1280 only grow with it, as in the paper.
        stem: ``"imagenet"`` divides the image size by 32; ``"small"`` by 8 (stem and 24-channel stage
            have stride 1).
        stages: Instead of the paper's seven; ``width`` multiplies their channels too.
        downscale: 2 averages the image over 2x2 pixels before all else: half the resolution.
    """

    size_field: ClassVar[str] = "width"
    size_step: ClassVar[float] = 0.05

    kind: Literal["mobilenet_v2"] = "mobilenet_v2"
    width: float = Field(default=1.0, gt=0, le=4)
    stem: Literal["small", "imagenet"] = "small"
    stages: tuple[InvertedStage, ...] | None = Field(default=None, min_length=1, max_length=16)
    downscale: Literal[1, 2] = 1

    @property
    def title(self) -> str:
        """Name for people, e.g. ``"mobilenet_v2 x0.5"``; of own stages blocks, expansion and kernel."""
        own = [f"{stage.blocks}e{stage.expansion}k{stage.kernel}" for stage in self.stages or ()]
        size = ["half size"] if self.downscale == 2 else []
        return " ".join(["mobilenet_v2", f"x{self.width:g}", *own, *size])

    def build(self, *, channels: int, classes: int, size: tuple[int, int]) -> nn.Module:
        """Build the body: float images (n, channels, height, width) to logits (n, classes)."""
        return MobileNetV2(self.parts(channels=channels, classes=classes, size=size))

    def parts(self, *, channels: int, classes: int, size: tuple[int, int]) -> tuple[Part, ...]:
        """Return the stem, every block and the head."""
        return tuple(self._parts(channels, classes, *size))

    def _parts(self, channels: int, classes: int, height: int, width: int) -> Iterator[Part]:
        stem = StemPart(
            channels=channels,
            height=height,
            width=width,
            out_channels=round_channels(STEM_CHANNELS * self.width),
            stride=1 if self.stem == "small" else 2,
            downscale=self.downscale,
        )
        yield stem
        wide, height, width = (
            stem.out_channels,
            *(strided(p // self.downscale, stem.stride) for p in (height, width)),
        )
        for stage in self.stages or paper_stages(self.stem):
            for block in range(stage.blocks):
                part = ResidualPart(
                    channels=wide,
                    height=height,
                    width=width,
                    out_channels=round_channels(stage.channels * self.width),
                    expansion=stage.expansion,
                    stride=stage.stride if block == 0 else 1,
                    kernel=stage.kernel,
                )
                yield part
                wide = part.out_channels
                height, width = strided(height, part.stride), strided(width, part.stride)
        hidden = round_channels(HEAD_CHANNELS * max(1.0, self.width))
        yield HeadPart(channels=wide, height=height, width=width, hidden=hidden, classes=classes)


def paper_stages(stem: Literal["small", "imagenet"]) -> tuple[InvertedStage, ...]:
    """Return the stages of table 2; for the small stem that of 24 channels has stride 1."""
    return tuple(
        InvertedStage(
            expansion=expansion,
            channels=channels,
            blocks=blocks,
            stride=1 if stem == "small" and index == 1 else stride,
        )
        for index, (expansion, channels, blocks, stride) in enumerate(STAGES)
    )


class StemPart(Part):
    """The stem, which reads the image."""

    kind: Literal["mobilenet_v2_stem"] = "mobilenet_v2_stem"
    out_channels: int
    stride: Literal[1, 2]
    downscale: Literal[1, 2]
    reads_pixels = True

    def build(self) -> nn.Module:
        """Build the convolution, behind the averaging of pixels where there is one."""
        conv = _conv_bn(self.channels, self.out_channels, 3, stride=self.stride)
        return nn.Sequential(nn.AvgPool2d(2), *conv) if self.downscale == 2 else conv


class ResidualPart(Part):
    """One inverted residual."""

    kind: Literal["mobilenet_v2_block"] = "mobilenet_v2_block"
    out_channels: int
    expansion: int
    stride: Literal[1, 2]
    kernel: Literal[3, 5, 7]

    def build(self) -> nn.Module:
        """Build the block."""
        return InvertedResidual(
            self.channels,
            self.out_channels,
            expansion=self.expansion,
            stride=self.stride,
            kernel=self.kernel,
        )


class HeadPart(Part):
    """The last 1x1 convolution, average pooling and the classifier."""

    kind: Literal["mobilenet_v2_head"] = "mobilenet_v2_head"
    hidden: int
    classes: int
    makes_logits = True

    def build(self) -> nn.Module:
        """Build convolution, pooling and classifier."""
        layers = OrderedDict(
            head=_conv_bn(self.channels, self.hidden, 1),
            pool=nn.AdaptiveAvgPool2d(1),
            flatten=nn.Flatten(),
            classifier=nn.Linear(self.hidden, self.classes),
        )
        return nn.Sequential(layers)


class MobileNetV2(nn.Module):
    """The network of `MobileNetV2Spec`."""

    def __init__(self, parts: tuple[Part, ...]) -> None:
        super().__init__()
        stem, *blocks, head = (part.build() for part in parts)
        self.stem, self.blocks = stem, nn.Sequential(*blocks)
        self.head, self.pool = head.get_submodule("head"), head.get_submodule("pool")
        self.classifier = head.get_submodule("classifier")
        init_convolutions(self)

    def forward(self, x: Tensor) -> Tensor:
        """Map float images (n, channels, height, width) to logits (n, classes)."""
        x = self.head(self.blocks(self.stem(x)))
        logits: Tensor = self.classifier(self.pool(x).flatten(1))
        return logits


class InvertedResidual(nn.Module):
    """Expand 1x1, filter depthwise, project 1x1 without activation; add the input where shapes allow."""

    def __init__(
        self, in_channels: int, out_channels: int, *, expansion: int, stride: int, kernel: int = 3
    ) -> None:
        super().__init__()
        hidden = in_channels * expansion
        self.residual = stride == 1 and in_channels == out_channels
        self.expand = _conv_bn(in_channels, hidden, 1) if expansion > 1 else None
        self.depthwise = _conv_bn(hidden, hidden, kernel, stride=stride, groups=hidden)
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
