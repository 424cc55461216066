"""The stage ``train_student``: the student in float, from given weights or trained on the labels."""

from pathlib import Path

import torch

from edgekd.core.artifact import stage
from edgekd.data.dataset import DataSpec
from edgekd.export.float_network import FloatStudent, write_float_network
from edgekd.tasks.classification import TaskSpec
from edgekd.train.checkpoint import EpochRecord
from edgekd.train.evaluate import validation_metric
from edgekd.train.label_loss import LabelLoss
from edgekd.train.loop import Trainee, train
from edgekd.train.options import TrainSpec
from edgekd.train.phase import Phase
from edgekd.zoo.student import (
    StudentArch,
    StudentSpec,
    start_from_weights,
    starting_weights,
    student_network,
)


@stage(FloatStudent, version=4)
def train_student(
    folder: Path,
    student: StudentSpec,
    arch: StudentArch,
    data: DataSpec,
    task: TaskSpec,
    training: TrainSpec | None,
    seed: int,
) -> None:
    """Load or train the float student (``training``: None if not); write weights, float ONNX and facts."""
    torch.manual_seed(seed)
    info = data.info()
    network = student_network(student, arch, info)
    history: list[EpochRecord] = []
    weights = starting_weights(student, arch, info)
    if arch.is_trained:
        arch.load_into(network)
    elif weights is not None:
        start_from_weights(network, weights, (info.height, info.width))
    if student.label_schedule is not None and training is not None:
        phase = Phase("train student", student.label_schedule, LabelLoss(task))
        trainee = Trainee(network, None, data.split("train"), validation_metric(data, task))
        history = train(trainee, (phase,), training, seed=seed, scratch=folder / "scratch")
    name = arch.network(student).title
    write_float_network(folder, network, name=name, data=data, task=task, history=history)
