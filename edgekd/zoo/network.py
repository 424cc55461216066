"""What a network is: a spec that builds a body, float NCHW images in, logits out."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar, Literal, Self

import torch
from pydantic import JsonValue, SerializeAsAny
from torch import Tensor, nn

from edgekd.core.spec_base import Spec
from edgekd.data.dataset import DataInfo
from edgekd.errors import ExportError, SpecError
from edgekd.zoo.part import Part
from edgekd.zoo.weights import FetchedWeights, GivenWeights, WeightsSpec


class NetworkSpec(Spec, ABC):
    """An architecture, as a pipeline file names it.

    Attributes:
        size_field: The field that alone makes it larger or smaller; empty where there is no such field.
        size_step: Between one size of a family and the next.
        kind: Where it comes from.
    """

    size_field: ClassVar[str] = ""
    size_step: ClassVar[float] = 0

    kind: str

    @property
    @abstractmethod
    def title(self) -> str:
        """Name for people, e.g. ``"mobilenet_v2 x0.5"``."""

    @property
    def brings_weights(self) -> bool:
        """Whether it comes with trained weights; see `given_weights`."""
        return False

    @property
    def architecture(self) -> dict[str, JsonValue]:
        """The fields that make it what it is, as JSON: all but where its files lie on this machine."""
        return self.model_dump(mode="json")

    def with_architecture(self, architecture: Mapping[str, Any]) -> Self:
        """Return the network of its kind that has this `architecture`; files lie where its own do."""
        return type(self).model_validate({**self.model_dump(), **architecture})

    @abstractmethod
    def build(self, *, channels: int, classes: int, size: tuple[int, int]) -> nn.Module:
        """Build the body with fresh weights from torch's global random state.

        Args:
            channels: Channels of the image.
            classes: Number of logits.
            size: Height and width of the image in pixels.

        Returns:
            A module that maps float images (n, channels, height, width) to logits (n, classes).
        """

    def parts(self, *, channels: int, classes: int, size: tuple[int, int]) -> "tuple[Part, ...]":
        """Return what the body of `build` is a chain of, from image to logits; by default itself alone."""
        height, width = size
        return (NetworkPart(channels=channels, height=height, width=width, network=self, classes=classes),)

    def given_weights(self, *, channels: int, classes: int, size: tuple[int, int]) -> FetchedWeights | None:
        """Return the weights that it comes with, for `fit` of the same arguments; None if it has none."""
        return None

    def fit(
        self, weights: GivenWeights, *, channels: int, classes: int, size: tuple[int, int]
    ) -> GivenWeights:
        """Return trained weights, its own or those of its section, as weights of what `build` makes."""
        return weights


class NetworkPart(Part):
    """A network that is its own only part."""

    kind: Literal["network"] = "network"
    network: SerializeAsAny[NetworkSpec]
    classes: int
    reads_pixels = True
    makes_logits = True

    @property
    def title(self) -> str:
        """That of the network."""
        return self.network.title

    def build(self) -> nn.Module:
        """Build its body."""
        size = (self.height, self.width)
        return self.network.build(channels=self.channels, classes=self.classes, size=size)


def build_body(network: NetworkSpec, info: DataInfo) -> nn.Module:
    """Build a network's body with fresh weights, for images and classes like ``info``."""
    size = (info.height, info.width)
    return network.build(channels=info.channels, classes=len(info.class_names), size=size)


def given_weights(
    network: NetworkSpec, weights: WeightsSpec | None, info: DataInfo, *, trained: bool
) -> GivenWeights | None:
    """Return the weights that a network starts from, of its section or its own; None if they are fresh.

    Args:
        network: The architecture.
        weights: Those of its section.
        info: Images and classes.
        trained: Whether it is then trained on the labels.

    Raises:
        SpecError: If its own weights are for other classes and nothing trains it.
    """
    classes = len(info.class_names)
    shape: dict[str, Any] = {
        "channels": info.channels,
        "classes": classes,
        "size": (info.height, info.width),
    }
    if weights is not None:
        return network.fit(weights, **shape)
    own = network.given_weights(**shape)
    if own is not None and own.classes != classes and not trained:
        what = f"{network.title} knows {own.classes} classes, the data have {classes}, and nothing trains it"
        raise SpecError(what, where="network", fix="add training: {epochs: ..., learning_rate: ...}")
    return None if own is None else network.fit(own, **shape)


def init_convolutions(module: nn.Module) -> None:
    """Draw all convolution weights anew, scaled for ReLU (He et al. 2015, arXiv:1502.01852, eq. 14)."""
    for layer in module.modules():
        if isinstance(layer, nn.Conv2d):
            nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")


def round_channels(channels: float) -> int:
    """Round to a multiple of 8, at least 8 and never down by more than 10 %.

    The rule of MobileNet's reference implementation.

    Example:
        >>> [round_channels(24 * width) for width in (0.35, 0.5, 0.75, 1.0)]
        [8, 16, 24, 24]
    """
    rounded = max(8, int(channels + 4) // 8 * 8)
    return rounded if rounded >= 0.9 * channels else rounded + 8


@torch.no_grad()
def must_classify(
    body: nn.Module, *, where: str, channels: int, classes: int, size: tuple[int, int]
) -> nn.Module:
    """Return ``body`` if it maps float images (n, channels, *size) to logits (n, classes), by trying it once.

    Args:
        body: A network that edgekd has not written.
        where: What the error names.
        channels: As for `NetworkSpec.build`.
        classes: As for `NetworkSpec.build`.
        size: As for `NetworkSpec.build`.

    Raises:
        ExportError: If it raises, or returns anything else.
    """
    images = torch.zeros(2, channels, *size)
    fix = "give a network that maps (n, channels, height, width) to (n, classes)"
    try:
        logits = body.eval()(images)
    except Exception as e:  # whatever a foreign forward does
        what = f"the network cannot take images {tuple(images.shape)}: {type(e).__name__}: {e}"
        raise ExportError(what, where=where, fix=fix) from e
    if not isinstance(logits, Tensor) or logits.shape != (2, classes):
        found = f"a tensor {tuple(logits.shape)}" if isinstance(logits, Tensor) else type(logits).__name__
        what = f"the network makes {found} of images {tuple(images.shape)}, not a tensor {(2, classes)}"
        raise ExportError(what, where=where, fix=fix)
    return body.train()
