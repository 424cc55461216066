"""What a network of the zoo is: a spec that builds a body, float NCHW images in, logits out."""

from abc import ABC, abstractmethod

from torch import nn

from edgekd.core.spec_base import Spec


class NetworkSpec(Spec, ABC):
    """An architecture, as a pipeline file names it."""

    kind: str

    @property
    @abstractmethod
    def name(self) -> str:
        """Name for people, e.g. ``"mobilenet_v2 x0.5"``."""

    @abstractmethod
    def build(self, *, channels: int, classes: int) -> nn.Module:
        """Build the body with fresh weights from torch's global random state.

        Args:
            channels: Channels of the image.
            classes: Number of logits.

        Returns:
            A module that maps float images (n, channels, height, width) to logits (n, classes).
        """


def init_convolutions(module: nn.Module) -> None:
    """Draw all convolution weights anew, scaled for ReLU (He et al. 2015, arXiv:1502.01852, eq. 14)."""
    for layer in module.modules():
        if isinstance(layer, nn.Conv2d):
            nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")
