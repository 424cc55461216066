"""The stage ``distill_float``: the student in float, the figure that integer results are compared with."""

from pathlib import Path

import torch

from edgekd.core.artifact import stage
from edgekd.data.dataset import DataSpec
from edgekd.distill.method import DistillMethod
from edgekd.export.float_network import FloatNetwork, write_float_network
from edgekd.tasks.classification import TaskSpec
from edgekd.teacher.export_teacher import Teacher, TeacherSpec, load_teacher
from edgekd.train.evaluate import validation_metric
from edgekd.train.loop import Trainee, train
from edgekd.train.options import TrainSpec
from edgekd.zoo.student import StudentArch, StudentSpec, start_from_weights, student_network


class FloatStudent(FloatNetwork):
    """The student before quantization."""


@stage(FloatStudent, version=1)
def distill_float(
    folder: Path,
    student: StudentSpec,
    arch: StudentArch,
    teacher: Teacher,
    teacher_spec: TeacherSpec,
    distill: DistillMethod,
    data: DataSpec,
    task: TaskSpec,
    training: TrainSpec,
    seed: int,
) -> None:
    """Run the float phases of a method; write weights, float ONNX and facts."""
    torch.manual_seed(seed + 1)  # not the teacher's start
    network = student_network(student, arch, data.info())
    if student.weights is not None:
        start_from_weights(network, student.weights)
    phases = [phase for phase in distill.phases(task) if not phase.quantized]
    trainee = Trainee(
        network,
        load_teacher(teacher, teacher_spec, data.info()),
        data.split("train"),
        validation_metric(data, task),
    )
    history = train(trainee, phases, training, seed=seed, scratch=folder / "scratch")
    name = arch.network(student).name
    write_float_network(folder, network, name=name, data=data, task=task, history=history)
