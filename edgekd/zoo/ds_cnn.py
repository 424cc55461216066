"""DS-CNN: a small network of depthwise separable convolutions for keyword spotting and other small inputs.

Source: Zhang et al. 2017, arXiv:1711.07128, the sizes S, M and L of its DS-CNN. Where we differ: the even
kernel of the stem is padded alike on both sides (the frequency axis of M and L becomes 9 instead of 10),
there is no dropout, and the ``image`` stem has a square kernel for what is no spectrogram.
"""

from typing import Literal, NamedTuple

from torch import Tensor, nn

from edgekd.zoo.network import NetworkSpec, init_convolutions


class _Size(NamedTuple):
    """Channels everywhere, number of separable blocks, strides of stem (time, frequency) and first block."""

    channels: int
    blocks: int
    stem_stride: tuple[int, int]
    block_stride: int


SIZES = {
    "small": _Size(64, 4, (2, 2), 1),
    "medium": _Size(172, 4, (2, 1), 2),
    "large": _Size(276, 5, (2, 1), 2),
}


class DsCnnSpec(NetworkSpec):
    """DS-CNN for keyword spotting and small single-channel images.

    Attributes:
        size: The paper's S, M or L: 64, 172 or 276 channels.
        stem: ``"spectrogram"`` has the paper's 10x4 kernel over (time, frequency), ``"image"`` 3x3 with
            stride 2.
    """

    kind: Literal["ds_cnn"] = "ds_cnn"
    size: Literal["small", "medium", "large"] = "small"
    stem: Literal["image", "spectrogram"] = "image"

    @property
    def title(self) -> str:
        """Name for people, e.g. ``"ds_cnn small"``."""
        return f"ds_cnn {self.size}"

    def build(self, *, channels: int, classes: int, size: tuple[int, int]) -> nn.Module:
        """Build the body: float images (n, channels, height, width) to logits (n, classes)."""
        return DsCnn(channels, classes, SIZES[self.size], spectrogram=self.stem == "spectrogram")


class DsCnn(nn.Module):
    """The network of `DsCnnSpec`."""

    def __init__(self, channels: int, classes: int, size: _Size, *, spectrogram: bool) -> None:
        super().__init__()
        wide = size.channels
        if spectrogram:
            stem = nn.Conv2d(channels, wide, (10, 4), size.stem_stride, padding=(5, 1), bias=False)
        else:
            stem = nn.Conv2d(channels, wide, 3, stride=2, padding=1, bias=False)
        self.stem = _with_bn(stem)
        self.blocks = nn.Sequential()
        for index in range(size.blocks):
            self.blocks.append(SeparableConv(wide, stride=size.block_stride if index == 0 else 1))
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.classifier = nn.Linear(wide, classes)
        init_convolutions(self)

    def forward(self, x: Tensor) -> Tensor:
        """Map float images (n, channels, height, width) to logits (n, classes)."""
        x = self.blocks(self.stem(x))
        logits: Tensor = self.classifier(self.pool(x).flatten(1))
        return logits


class SeparableConv(nn.Module):
    """Filter depthwise 3x3, then mix the channels 1x1."""

    def __init__(self, channels: int, *, stride: int) -> None:
        super().__init__()
        depthwise = nn.Conv2d(channels, channels, 3, stride, padding=1, groups=channels, bias=False)
        self.depthwise = _with_bn(depthwise)
        self.pointwise = _with_bn(nn.Conv2d(channels, channels, 1, bias=False))

    def forward(self, x: Tensor) -> Tensor:
        """Map (n, channels, h, w) to (n, channels, h / stride, w / stride)."""
        y: Tensor = self.pointwise(self.depthwise(x))
        return y


def _with_bn(conv: nn.Conv2d) -> nn.Sequential:
    return nn.Sequential(conv, nn.BatchNorm2d(conv.out_channels), nn.ReLU())
