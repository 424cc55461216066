"""What stands in the ``student`` section, and what the search makes of it: one architecture."""

from abc import ABC, abstractmethod
from typing import Any, Self

from pydantic import model_validator
from safetensors.torch import load_file

from edgekd.core.artifact import Artifact
from edgekd.core.schedule import Schedule
from edgekd.core.spec_base import Spec
from edgekd.data.dataset import DataInfo
from edgekd.tasks.classification import TaskSpec
from edgekd.zoo.network import NetworkSpec, build_body, given_weights
from edgekd.zoo.pixels import ImageNetwork, PixelGrid, fold_normalization
from edgekd.zoo.weights import GivenWeights, WeightsSpec

NETWORK, WEIGHTS = "network.json", "weights.safetensors"


class StudentSpec(Spec, ABC):
    """How the student's architecture is found.

    Attributes:
        kind: The way of finding it.
        weights: Trained float weights, or
        training: how to train it in float.
    """

    kind: str
    weights: WeightsSpec | None = None
    training: Schedule | None = None

    @property
    def brings_weights(self) -> bool:
        """Whether what is found comes with trained weights."""
        return False

    @property
    def label_schedule(self) -> Schedule | None:
        """How what is found is trained on the labels; None if it is not."""
        return self.training

    @abstractmethod
    def network_of(self, written: dict[str, Any]) -> NetworkSpec:
        """Return the architecture that a stage wrote down."""

    def unfit_task(self, task: TaskSpec) -> str:
        """Return why it cannot be found for a task; empty where it can."""
        return ""

    def unfit_bits(self, bits: int) -> str:
        """Return why it cannot be found where weights or activations have so few bits; empty where it can."""
        return ""

    def unfit_start(self, start: str) -> str:
        """Return why it cannot begin where a method's students do; empty where it can."""
        return ""

    @model_validator(mode="after")
    def _has_an_origin(self) -> Self:
        if self.weights is not None and self.brings_weights:
            msg = "the network brings its own weights: leave out weights"
            raise ValueError(msg)
        if self.weights is None and self.training is None and not self.brings_weights:
            msg = "the student has no origin: give weights, training, or both"
            raise ValueError(msg)
        return self


class StudentArch(Artifact):
    """The chosen architecture, and the weights that finding it left, if it left any."""

    def network(self, student: StudentSpec) -> NetworkSpec:
        """Return the architecture that was chosen from ``student``."""
        return student.network_of(self.read_json(NETWORK))

    @property
    def is_trained(self) -> bool:
        """Whether it comes with trained float weights."""
        return (self.folder / WEIGHTS).is_file()

    def load_into(self, network: ImageNetwork) -> None:
        """Put the weights that it comes with into a network that `student_network` built."""
        network.load_state_dict(load_file(self.path(WEIGHTS)))


def student_network(student: StudentSpec, arch: StudentArch, info: DataInfo) -> ImageNetwork:
    """Build the student with fresh weights: uint8 NHWC images in, logits out.

    Its pixel grid is the one nearest to the normalization of the given weights, if there are any.
    """
    return image_network(arch.network(student), starting_weights(student, arch, info), info)


def image_network(network: NetworkSpec, weights: GivenWeights | None, info: DataInfo) -> ImageNetwork:
    """Build a network with fresh weights on the pixel grid of ``weights``, of which it gets no other."""
    grid = PixelGrid.like() if weights is None else PixelGrid.like(weights.mean, weights.std)
    return ImageNetwork(grid, build_body(network, info))


def starting_weights(student: StudentSpec, arch: StudentArch, info: DataInfo) -> GivenWeights | None:
    """Return the weights that the student starts from; None if they are fresh."""
    return given_weights(arch.network(student), student.weights, info, trained=student.training is not None)


def start_from_weights(network: ImageNetwork, weights: GivenWeights, size: tuple[int, int]) -> None:
    """Load given float weights into a student of images of ``size``, and fold their normalization in."""
    weights.load_into(network.body)
    assert isinstance(network.pixels, PixelGrid)
    fold_normalization(network.body, mean=weights.mean, std=weights.std, grid=network.pixels, size=size)
