"""The residual networks for ImageNet: ResNet-18, -34, -50.

Source: He et al. 2016, arXiv:1512.03385, sec. 4.1 and table 1: 7x7 stem, max pooling, four stages of 64, 128,
256 and 512 channels, shortcuts that project where the shape changes (option B). Where we differ: the
bottleneck strides in its 3x3 convolution, as in the weights that people share (Goyal et al. 2017,
arXiv:1706.02677, sec. 5.1); the names of the layers are those of these weights too; and there is a width
multiplier.
"""

from typing import Literal

import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from edgekd.zoo.network import NetworkSpec, init_convolutions, round_channels

# Table 1: blocks per stage.
BLOCKS = {18: (2, 2, 2, 2), 34: (3, 4, 6, 3), 50: (3, 4, 6, 3)}
STAGE_CHANNELS = (64, 128, 256, 512)


class ResNetSpec(NetworkSpec):
    """ResNet for ImageNet-sized images; divides the image size by 32.

    Attributes:
        depth: Number of layers with weights on the longest path; 50 is made of bottlenecks.
        width: Multiplier of all channel counts.
    """

    kind: Literal["resnet"] = "resnet"
    depth: Literal[18, 34, 50] = 18
    width: float = Field(default=1.0, gt=0, le=4)

    @property
    def title(self) -> str:
        """Name for people, e.g. ``"resnet18 x0.5"``."""
        return f"resnet{self.depth} x{self.width:g}"

    def build(self, *, channels: int, classes: int, size: tuple[int, int]) -> nn.Module:
        """Build the body: float images (n, channels, height, width) to logits (n, classes)."""
        return ResNet(channels, classes, depth=self.depth, width=self.width)


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

    def __init__(self, channels: int, classes: int, *, depth: Literal[18, 34, 50], width: float) -> None:
        super().__init__()
        block: type[BasicBlock | Bottleneck] = Bottleneck if depth == 50 else BasicBlock
        wide = round_channels(STAGE_CHANNELS[0] * width)
        self.conv1 = nn.Conv2d(channels, wide, 7, stride=2, padding=3, bias=False)
        self.bn1 = nn.BatchNorm2d(wide)
        self.maxpool = nn.MaxPool2d(3, stride=2, padding=1)
        stages = []
        for stage, (stage_channels, blocks) in enumerate(zip(STAGE_CHANNELS, BLOCKS[depth], strict=True)):
            narrow = round_channels(stage_channels * width)
            layers = nn.Sequential()
            for index in range(blocks):
                layers.append(block(wide, narrow, stride=2 if stage and not index else 1))
                wide = narrow * block.expansion
            stages.append(layers)
        self.layer1, self.layer2, self.layer3, self.layer4 = stages
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(wide, classes)
        init_convolutions(self)

    def forward(self, x: Tensor) -> Tensor:
        """Map float images (n, channels, height, width) to logits (n, classes)."""
        x = self.maxpool(F.relu(self.bn1(self.conv1(x))))
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        logits: Tensor = self.fc(self.avgpool(x).flatten(1))
        return logits


def _projection(in_channels: int, out_channels: int, *, stride: int) -> nn.Sequential | None:
    if stride == 1 and in_channels == out_channels:
        return None
    return nn.Sequential(
        nn.Conv2d(in_channels, out_channels, 1, stride, bias=False), nn.BatchNorm2d(out_channels)
    )
