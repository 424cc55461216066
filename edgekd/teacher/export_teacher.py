"""The stage ``export_teacher``: a float network that knows the task, as weights and as ONNX."""

from pathlib import Path
from typing import Self

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn

from edgekd.core.artifact import stage
from edgekd.core.schedule import Schedule
from edgekd.core.spec_base import Spec
from edgekd.data.dataset import DataInfo, DataSpec
from edgekd.export.float_network import FloatNetwork, write_float_network
from edgekd.tasks.classification import TaskSpec
from edgekd.teacher.onnx_teacher import OnnxTeacher, OnnxTeacherSpec, write_onnx_teacher
from edgekd.train.checkpoint import EpochRecord
from edgekd.train.evaluate import validation_metric
from edgekd.train.label_loss import LabelLoss
from edgekd.train.loop import Trainee, train
from edgekd.train.options import TrainSpec
from edgekd.train.phase import Phase
from edgekd.zoo.network import NetworkSpec, build_body, given_weights
from edgekd.zoo.pixels import ImageNetwork, NormalizePixels
from edgekd.zoo.weights import GivenWeights, WeightsSpec

_MEAN, _STD = 0.5, 0.25


class TeacherSpec(Spec):
    """The network that is distilled from.

    Attributes:
        network: Its architecture.
        weights: Trained weights, or
        training: how to train it on the labels. A network that brings its own weights needs neither; training
            then fine-tunes it. An ONNX file is frozen.
        mirrored: Whether it teaches with the mean of its logits on an image and on its mirror image, at twice
            the price: a better teacher where both show the same, as with photographs but not with digits.
    """

    network: NetworkSpec | OnnxTeacherSpec
    weights: WeightsSpec | None = None
    training: Schedule | None = None
    mirrored: bool = False

    @property
    def origin(self) -> Self:
        """The same teacher without how it is asked: what makes its weights."""
        return self.model_copy(update={"mirrored": False})

    @model_validator(mode="after")
    def _one_origin(self) -> Self:
        weights, training = self.weights is not None, self.training is not None
        if isinstance(self.network, OnnxTeacherSpec):
            if weights or training:
                msg = (
                    "an ONNX file is frozen, nothing in it can be loaded or trained: remove weights, training"
                )
                raise ValueError(msg)
        elif self.network.brings_weights:
            if weights:
                msg = "the network brings its own weights: remove weights"
                raise ValueError(msg)
        elif weights == training:
            msg = "the teacher needs one origin: give either weights or training"
            raise ValueError(msg)
        return self


class SharingTeacherSpec(TeacherSpec):
    """One of several teachers.

    Attributes:
        share: How much its word counts beside the others'; they need not add up to 1.
    """

    share: float = Field(default=1.0, gt=0)


class Teacher(FloatNetwork):
    """A trained float network that is distilled from."""


def teacher_network(network: NetworkSpec, weights: GivenWeights | None, info: DataInfo) -> ImageNetwork:
    """Build a teacher with fresh weights: uint8 NHWC images in, the normalization of ``weights`` inside."""
    mean = weights.mean if weights is not None else (_MEAN,) * info.channels
    std = weights.std if weights is not None else (_STD,) * info.channels
    return ImageNetwork(NormalizePixels(mean, std), build_body(network, info))


@stage(Teacher, version=4)
def export_teacher(
    folder: Path, teacher: TeacherSpec, data: DataSpec, task: TaskSpec, training: TrainSpec | None, seed: int
) -> None:
    """Load or train the teacher (``training``: None if it is given); write weights, float ONNX and facts."""
    if isinstance(teacher.network, OnnxTeacherSpec):
        write_onnx_teacher(folder, teacher.network, data, task)
        return
    torch.manual_seed(seed + 1)  # not the student's start
    weights = _weights(teacher, teacher.network, data.info())
    network = teacher_network(teacher.network, weights, data.info())
    history: list[EpochRecord] = []
    if weights is not None:
        weights.load_into(network.body)
    if teacher.training is not None and training is not None:
        phase = Phase("train teacher", teacher.training, LabelLoss(task))
        trainee = Trainee(network, None, data.split("train"), validation_metric(data, task))
        history = train(trainee, (phase,), training, seed=seed, scratch=folder / "scratch")
    title = teacher.network.title
    write_float_network(folder, network, name=title, data=data, task=task, history=history)


class Mirrored(nn.Module):
    """A teacher asked twice: the mean of its logits on an image and on its mirror image."""

    def __init__(self, teacher: nn.Module) -> None:
        super().__init__()
        self.teacher = teacher

    def forward(self, images: Tensor) -> Tensor:
        """Map images, uint8 (n, h, w, c), to logits (n, classes)."""
        logits: Tensor = (self.teacher(images) + self.teacher(images.flip(2))) / 2
        return logits


def load_teacher(teacher: Teacher, spec: TeacherSpec, info: DataInfo) -> nn.Module:
    """Rebuild a trained teacher: uint8 NHWC images in, logits out."""
    if isinstance(spec.network, OnnxTeacherSpec):
        return _asked(OnnxTeacher(teacher.onnx_path), spec)
    network = teacher_network(spec.network, _weights(spec, spec.network, info), info)
    teacher.load_into(network)
    return _asked(network, spec)


def random_teacher(spec: TeacherSpec, info: DataInfo) -> nn.Module:
    """Build a teacher's network with random weights, from torch's global random state."""
    assert not isinstance(spec.network, OnnxTeacherSpec)  # frozen: the spec refuses to train it
    return _asked(teacher_network(spec.network, _weights(spec, spec.network, info), info), spec)


def _asked(network: nn.Module, spec: TeacherSpec) -> nn.Module:
    return Mirrored(network) if spec.mirrored else network


def _weights(spec: TeacherSpec, network: NetworkSpec, info: DataInfo) -> GivenWeights | None:
    return given_weights(network, spec.weights, info, trained=spec.training is not None)
