"""The residual networks for ImageNet, ResNet-18, -34, -50, and their kin of other depths and widths.

Source: He et al. 2016, arXiv:1512.03385, sec. 4.1 and table 1: 7x7 stem, max pooling, four stages of 64, 128,
256 and 512 channels, shortcuts that project where the shape changes (option B). Where we differ: the
bottleneck strides in its 3x3 convolution, as in the weights that people share (Goyal et al. 2017,
arXiv:1706.02677, sec. 5.1); the names of the layers are those of these weights too; there is a width
multiplier, a stem for small images (sec. 4.2), and stages may be given one by one.
"""

from collections.abc import Iterator
from typing import ClassVar, Literal, Self

import torch.nn.functional as F
from pydantic import Field, model_validator
from torch import Tensor, nn

from edgekd.core.spec_base import Spec
from edgekd.zoo.network import NetworkSpec, init_convolutions, round_channels
from edgekd.zoo.part import Part, strided

# Table 1: blocks per stage.
BLOCKS = {18: (2, 2, 2, 2), 34: (3, 4, 6, 3), 50: (3, 4, 6, 3)}
STAGE_CHANNELS = (64, 128, 256, 512)

Stem = Literal["imagenet", "small"]


class Stage(Spec):
    """One stage: blocks of two 3x3 convolutions at one resolution.

    Attributes:
        blocks: How many.
        channels: Of each.
    """

    blocks: int = Field(ge=1, le=64)
    channels: int = Field(ge=1, le=4096)


class ResNetSpec(NetworkSpec):
    """ResNet for ImageNet-sized images, which divides their size by 32; or of stages of your own.

    Attributes:
        depth: Number of layers with weights on the longest path; 50 is made of bottlenecks.
        width: Multiplier of all channel counts.
        stem: ``imagenet``: 7x7 with stride 2, then max pooling; ``small``: 3x3 with stride 1, for images
            below 64 pixels.
        stages: Instead of depth and width; each but the first halves the resolution.
    """

    size_field: ClassVar[str] = "width"
    size_step: ClassVar[float] = 0.05

    kind: Literal["resnet"] = "resnet"
    depth: Literal[18, 34, 50] = 18
    width: float = Field(default=1.0, gt=0, le=4)
    stem: Stem = "imagenet"
    stages: tuple[Stage, ...] | None = Field(default=None, min_length=1, max_length=8)

    @model_validator(mode="after")
    def _one_way_to_say_it(self) -> Self:
        if self.stages is not None and self.model_fields_set & {"depth", "width"}:
            msg = "stages say depth and width: leave these out"
            raise ValueError(msg)
        return self

    @property
    def title(self) -> str:
        """Name for people, e.g. ``"resnet18 x0.5"`` or ``"resnet 2x16 3x32 3x64"``."""
        if self.stages is not None:
            return " ".join(["resnet", *(f"{stage.blocks}x{stage.channels}" for stage in self.stages)])
        return f"resnet{self.depth} x{self.width:g}"

    def all_stages(self) -> tuple[Stage, ...]:
        """Return the stages, as they are given or as depth and width say."""
        if self.stages is not None:
            return self.stages
        return tuple(
            Stage(blocks=blocks, channels=round_channels(channels * self.width))
            for blocks, channels in zip(BLOCKS[self.depth], STAGE_CHANNELS, strict=True)
        )

    def build(self, *, channels: int, classes: int, size: tuple[int, int]) -> nn.Module:
        """Build the body: float images (n, channels, height, width) to logits (n, classes)."""
        return ResNet(channels, classes, self)

    def parts(self, *, channels: int, classes: int, size: tuple[int, int]) -> tuple[Part, ...]:
        """Return the stem, every block and the head."""
        return tuple(self._parts(channels, classes, *size))

    def _parts(self, channels: int, classes: int, height: int, width: int) -> Iterator[Part]:
        stages, reduction = self.all_stages(), 1 if self.stem == "small" else 4
        wide = stages[0].channels
        yield StemPart(channels=channels, height=height, width=width, stem=self.stem, out_channels=wide)
        height, width = strided(height, reduction), strided(width, reduction)
        for index, stage in enumerate(stages):
            for block in range(stage.blocks):
                stride = 2 if index and not block else 1
                part = BlockPart(
                    channels=wide,
                    height=height,
                    width=width,
                    narrow=stage.channels,
                    stride=stride,
                    bottleneck=self.bottleneck,
                )
                yield part
                wide, height, width = part.out_channels, strided(height, stride), strided(width, stride)
        yield HeadPart(channels=wide, height=height, width=width, classes=classes)

    @property
    def bottleneck(self) -> bool:
        """Whether its blocks are bottlenecks."""
        return self.stages is None and self.depth == 50


class StemPart(Part):
    """The stem, which reads the image."""

    kind: Literal["resnet_stem"] = "resnet_stem"
    stem: Stem
    out_channels: int
    reads_pixels = True

    def build(self) -> nn.Module:
        """Build convolution, BatchNorm, ReLU, and the pooling of the larger stem."""
        pool = [nn.MaxPool2d(3, stride=2, padding=1)] if self.stem == "imagenet" else []
        conv = _stem_conv(self.channels, self.out_channels, self.stem)
        return nn.Sequential(conv, nn.BatchNorm2d(self.out_channels), nn.ReLU(), *pool)


class BlockPart(Part):
    """One residual block."""

    kind: Literal["resnet_block"] = "resnet_block"
    narrow: int
    stride: int
    bottleneck: bool

    @property
    def out_channels(self) -> int:
        """Channels that it makes."""
        return self.narrow * self._block.expansion

    @property
    def _block(self) -> "type[BasicBlock | Bottleneck]":
        return Bottleneck if self.bottleneck else BasicBlock

    def build(self) -> nn.Module:
        """Build the block."""
        return self._block(self.channels, self.narrow, stride=self.stride)


class HeadPart(Part):
    """Average pooling and the classifier."""

    kind: Literal["resnet_head"] = "resnet_head"
    classes: int
    makes_logits = True

    def build(self) -> nn.Module:
        """Build pooling and classifier."""
        return nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(self.channels, self.classes))


class BasicBlock(nn.Module):
    """Two 3x3 convolutions and a shortcut."""

    expansion = 1

    def __init__(self, in_channels: int, channels: int, *, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, channels, 3, stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels)
        self.downsample = _projection(in_channels, channels, stride=stride)

    def forward(self, x: Tensor) -> Tensor:
        """Map (n, in_channels, h, w) to (n, channels, h / stride, w / stride)."""
        y = F.relu(self.bn1(self.conv1(x)))
        y = self.bn2(self.conv2(y))
        return F.relu(y + (x if self.downsample is None else self.downsample(x)))


class Bottleneck(nn.Module):
    """Reduce 1x1, filter 3x3, expand 1x1 to four times the channels, and a shortcut."""

    expansion = 4

    def __init__(self, in_channels: int, channels: int, *, stride: int) -> None:
        super().__init__()
        out_channels = channels * self.expansion
        self.conv1 = nn.Conv2d(in_channels, channels, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, stride, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels)
        self.conv3 = nn.Conv2d(channels, out_channels, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(out_channels)
        self.downsample = _projection(in_channels, out_channels, stride=stride)

    def forward(self, x: Tensor) -> Tensor:
        """Map (n, in_channels, h, w) to (n, 4 * channels, h / stride, w / stride)."""
        y = F.relu(self.bn1(self.conv1(x)))
        y = F.relu(self.bn2(self.conv2(y)))
        y = self.bn3(self.conv3(y))
        return F.relu(y + (x if self.downsample is None else self.downsample(x)))


class ResNet(nn.Module):
    """The network of `ResNetSpec`."""

    def __init__(self, channels: int, classes: int, spec: ResNetSpec) -> None:
        super().__init__()
        block: type[BasicBlock | Bottleneck] = Bottleneck if spec.bottleneck else BasicBlock
        stages = spec.all_stages()
        wide = stages[0].channels
        self.conv1 = _stem_conv(channels, wide, spec.stem)
        self.bn1 = nn.BatchNorm2d(wide)
        self.maxpool = nn.MaxPool2d(3, stride=2, padding=1) if spec.stem == "imagenet" else nn.Identity()
        self.stages = len(stages)
        for index, stage in enumerate(stages):
            layers = nn.Sequential()
            for number in range(stage.blocks):
                layers.append(block(wide, stage.channels, stride=2 if index and not number else 1))
                wide = stage.channels * block.expansion
            self.add_module(f"layer{index + 1}", layers)
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(wide, classes)
        init_convolutions(self)

    def forward(self, x: Tensor) -> Tensor:
        """Map float images (n, channels, height, width) to logits (n, classes)."""
        x = self.maxpool(F.relu(self.bn1(self.conv1(x))))
        for index in range(self.stages):
            x = self.get_submodule(f"layer{index + 1}")(x)
        logits: Tensor = self.fc(self.avgpool(x).flatten(1))
        return logits


def _stem_conv(channels: int, out_channels: int, stem: Stem) -> nn.Conv2d:
    if stem == "small":
        return nn.Conv2d(channels, out_channels, 3, padding=1, bias=False)
    return nn.Conv2d(channels, out_channels, 7, stride=2, padding=3, bias=False)


def _projection(in_channels: int, out_channels: int, *, stride: int) -> nn.Sequential | None:
    if stride == 1 and in_channels == out_channels:
        return None
    return nn.Sequential(
        nn.Conv2d(in_channels, out_channels, 1, stride, bias=False), nn.BatchNorm2d(out_channels)
    )
