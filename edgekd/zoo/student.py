"""What stands in the ``student`` section, and what the search makes of it: one architecture."""

from abc import ABC
from typing import Self

from pydantic import model_validator

from edgekd.core.artifact import Artifact
from edgekd.core.schedule import Schedule
from edgekd.core.spec_base import Spec
from edgekd.data.dataset import DataInfo
from edgekd.zoo.network import NetworkSpec, build_body, given_weights
from edgekd.zoo.pixels import ImageNetwork, PixelGrid, fold_normalization
from edgekd.zoo.weights import GivenWeights, WeightsSpec


class StudentSpec(Spec, ABC):
    """How the student's architecture is found.

    Attributes:
        kind: The way of finding it.
        network: The architecture, or where a search starts.
        weights: Trained float weights, or
        training: how to train it in float, on the labels.
    """

    kind: str
    network: NetworkSpec
    weights: WeightsSpec | None = None
    training: Schedule | None = None

    @model_validator(mode="after")
    def _has_an_origin(self) -> Self:
        if self.weights is not None and self.network.brings_weights:
            msg = "the network brings its own weights: leave out weights"
            raise ValueError(msg)
        if self.weights is None and self.training is None and not self.network.brings_weights:
            msg = "the student has no origin: give weights, training, or both"
            raise ValueError(msg)
        return self


class StudentArch(Artifact):
    """The chosen architecture."""

    def network(self, student: StudentSpec) -> NetworkSpec:
        """Return the architecture that was chosen from ``student``."""
        return student.network.with_architecture(self.read_json("network.json"))


def student_network(student: StudentSpec, arch: StudentArch, info: DataInfo) -> ImageNetwork:
    """Build the student with fresh weights: uint8 NHWC images in, logits out.

    Its pixel grid is the one nearest to the normalization of the given weights, if there are any.
    """
    weights = starting_weights(student, arch, info)
    grid = PixelGrid.like() if weights is None else PixelGrid.like(weights.mean, weights.std)
    return ImageNetwork(grid, build_body(arch.network(student), info))


def starting_weights(student: StudentSpec, arch: StudentArch, info: DataInfo) -> GivenWeights | None:
    """Return the weights that the student starts from; None if they are fresh."""
    trained = student.training is not None
    return given_weights(arch.network(student), student.weights, info, trained=trained)


def start_from_weights(network: ImageNetwork, weights: GivenWeights, size: tuple[int, int]) -> None:
    """Load given float weights into a student of images of ``size``, and fold their normalization in."""
    weights.load_into(network.body)
    assert isinstance(network.pixels, PixelGrid)
    fold_normalization(network.body, mean=weights.mean, std=weights.std, grid=network.pixels, size=size)
