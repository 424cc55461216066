"""The small residual networks for 32x32 images: ResNet-20, -32, -44, -56, -110.

Source: He et al. 2016, arXiv:1512.03385, sec. 4.2: three stages of 16, 32 and 64 channels with n blocks each,
depth 6n + 2, shortcuts without parameters (option A: every second pixel, zeros for the new channels). Where
we differ: the zeros lie on both sides of the old channels, as in the weights that people share.
"""

from typing import ClassVar, Literal

import torch.nn.functional as F
from pydantic import Field, field_validator
from torch import Tensor, nn

from edgekd.zoo.network import NetworkSpec, init_convolutions


class ResNetCifarSpec(NetworkSpec):
    """ResNet for small images.

    Attributes:
        depth: Number of layers with weights, 6n + 2.
    """

    size_field: ClassVar[str] = "depth"
    size_step: ClassVar[float] = 6

    kind: Literal["resnet_cifar"] = "resnet_cifar"
    depth: int = Field(default=20, ge=8)

    @field_validator("depth")
    @classmethod
    def _depth_is_6n_plus_2(cls, depth: int) -> int:
        if depth % 6 != 2:
            what = f"depth must be 6n + 2 (20, 32, 44, 56, 110), not {depth}"
            raise ValueError(what)
        return depth

    @property
    def title(self) -> str:
        """Name for people, e.g. ``"resnet20"``."""
        return f"resnet{self.depth}"

    def build(self, *, channels: int, classes: int, size: tuple[int, int]) -> nn.Module:
        """Build the body: float images (n, channels, height, width) to logits (n, classes)."""
        return ResNetCifar(channels, classes, blocks=(self.depth - 2) // 6)


class ResNetCifar(nn.Module):
    """The network of `ResNetCifarSpec`."""

    def __init__(self, channels: int, classes: int, *, blocks: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, 16, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(16)
        self.layer1 = _stage(16, 16, blocks, stride=1)
        self.layer2 = _stage(16, 32, blocks, stride=2)
        self.layer3 = _stage(32, 64, blocks, stride=2)
        self.linear = nn.Linear(64, classes)
        init_convolutions(self)

    def forward(self, x: Tensor) -> Tensor:
        """Map float images (n, channels, height, width) to logits (n, classes)."""
        x = F.relu(self.bn1(self.conv1(x)))
        x = self.layer3(self.layer2(self.layer1(x)))
        logits: Tensor = self.linear(F.adaptive_avg_pool2d(x, 1).flatten(1))
        return logits


class BasicBlock(nn.Module):
    """Two 3x3 convolutions and a shortcut without parameters."""

    def __init__(self, in_channels: int, out_channels: int, *, stride: int) -> None:
        super().__init__()
        self.new_channels = out_channels - in_channels
        self.conv1 = nn.Conv2d(in_channels, out_channels, 3, stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(out_channels)
        self.conv2 = nn.Conv2d(out_channels, out_channels, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(out_channels)

    def forward(self, x: Tensor) -> Tensor:
        """Map (n, in_channels, h, w) to (n, out_channels, h / stride, w / stride)."""
        y = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))))
        if self.new_channels:
            before = self.new_channels // 2
            x = F.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, before, self.new_channels - before))
        return F.relu(y + x)


def _stage(in_channels: int, out_channels: int, blocks: int, *, stride: int) -> nn.Sequential:
    first = BasicBlock(in_channels, out_channels, stride=stride)
    return nn.Sequential(
        first, *(BasicBlock(out_channels, out_channels, stride=1) for _ in range(blocks - 1))
    )
