"""The stage ``export_teacher``: a float network that knows the task, as weights and as ONNX."""

from pathlib import Path
from typing import Self

import torch
from pydantic import model_validator

from edgekd.core.artifact import stage
from edgekd.core.schedule import Schedule
from edgekd.core.spec_base import Spec
from edgekd.data.dataset import DataInfo, DataSpec
from edgekd.export.float_network import FloatNetwork, write_float_network
from edgekd.tasks.classification import TaskSpec
from edgekd.train.checkpoint import EpochRecord
from edgekd.train.evaluate import validation_metric
from edgekd.train.label_loss import LabelLoss
from edgekd.train.loop import Trainee, train
from edgekd.train.options import TrainSpec
from edgekd.train.phase import Phase
from edgekd.zoo.network import NetworkSpec
from edgekd.zoo.pixels import ImageNetwork, NormalizePixels
from edgekd.zoo.weights import WeightsSpec, load_weights

_MEAN, _STD = 0.5, 0.25


class TeacherSpec(Spec):
    """The network that is distilled from.

    Attributes:
        network: Its architecture.
        weights: Trained weights, or
        training: how to train it on the labels.
    """

    network: NetworkSpec
    weights: WeightsSpec | None = None
    training: Schedule | None = None

    @model_validator(mode="after")
    def _one_origin(self) -> Self:
        if (self.weights is None) == (self.training is None):
            msg = "the teacher needs one origin: give either weights or training"
            raise ValueError(msg)
        return self


class Teacher(FloatNetwork):
    """A trained float network that is distilled from."""


def teacher_network(spec: TeacherSpec, info: DataInfo) -> ImageNetwork:
    """Build the teacher with fresh weights: uint8 NHWC images in, its own normalization inside."""
    weights = spec.weights
    mean = weights.mean if weights is not None else (_MEAN,) * info.channels
    std = weights.std if weights is not None else (_STD,) * info.channels
    body = spec.network.build(channels=info.channels, classes=len(info.class_names))
    return ImageNetwork(NormalizePixels(mean, std), body)


@stage(Teacher, version=2)
def export_teacher(
    folder: Path, teacher: TeacherSpec, data: DataSpec, task: TaskSpec, training: TrainSpec | None, seed: int
) -> None:
    """Load or train the teacher (``training``: None if it is given); write weights, float ONNX and facts."""
    torch.manual_seed(seed + 1)  # not the student's start
    network = teacher_network(teacher, data.info())
    history: list[EpochRecord] = []
    if teacher.weights is not None:
        load_weights(network.body, teacher.weights.path)
    if teacher.training is not None and training is not None:
        phase = Phase("train teacher", teacher.training, LabelLoss(task))
        trainee = Trainee(network, None, data.split("train"), validation_metric(data, task))
        history = train(trainee, (phase,), training, seed=seed, scratch=folder / "scratch")
    write_float_network(folder, network, name=teacher.network.name, data=data, task=task, history=history)


def load_teacher(teacher: Teacher, spec: TeacherSpec, info: DataInfo) -> ImageNetwork:
    """Rebuild a trained teacher."""
    network = teacher_network(spec, info)
    teacher.load_into(network)
    return network
