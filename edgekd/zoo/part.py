"""The parts that a network is a chain of: what is timed once for all networks that share it."""

from abc import ABC, abstractmethod
from typing import ClassVar

from pydantic import Field
from torch import nn

from edgekd.core.spec_base import Spec
from edgekd.zoo.cost import count_macs


class Part(Spec, ABC):
    """One part of a network, with the shape of what it reads.

    Attributes:
        kind: Which part it is, of which family of networks.
        channels: Channels that it reads.
        height: Pixels, and
        width: pixels of what it reads.
        reads_pixels: Whether it is the first part, which reads the image itself.
        makes_logits: Whether it is the last part.
    """

    kind: str
    channels: int = Field(ge=1)
    height: int = Field(ge=1)
    width: int = Field(ge=1)
    reads_pixels: ClassVar[bool] = False
    makes_logits: ClassVar[bool] = False

    @property
    def title(self) -> str:
        """Name for people, e.g. ``"resnet_block on 16x32x32"``."""
        return f"{self.kind} on {self.channels}x{self.height}x{self.width}"

    @property
    def whole(self) -> bool:
        """Whether it is a network of its own, from image to logits."""
        return self.reads_pixels and self.makes_logits

    def macs(self) -> int:
        """Return its multiply-accumulates for one image."""
        return count_macs(self.build(), channels=self.channels, height=self.height, width=self.width)

    @abstractmethod
    def build(self) -> nn.Module:
        """Build it with fresh weights from torch's global random state.

        Returns:
            A module that maps float (n, channels, height, width) to what the next part reads, or to logits.
        """


def strided(pixels: int, stride: int) -> int:
    """Return what a stride leaves of so many pixels where the padding is half the kernel.

    Example:
        >>> strided(224, 2), strided(7, 2)
        (112, 4)
    """
    return -(-pixels // stride)
