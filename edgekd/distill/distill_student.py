"""The stage ``distill_student``: the phases of a method, from calibrated to trained grids."""

from dataclasses import asdict
from pathlib import Path

import torch
from torch import fx

from edgekd.core.artifact import stage
from edgekd.core.atomic import write_json
from edgekd.core.progress import note
from edgekd.data.dataset import DataSpec
from edgekd.distill.method import DistillMethod
from edgekd.distill.quantize_student import CALIBRATION_BATCH
from edgekd.quant.calibrate import calibrate, held_at_zero, unquantized
from edgekd.quant.student import QuantizeSpec, QuantStudent, fresh_student, load_student, save_student
from edgekd.tasks.classification import TaskSpec
from edgekd.teacher.export_teacher import TeacherSpec, random_teacher
from edgekd.teacher.several import Heard, HeardSpec, load_heard
from edgekd.train.batchnorm import reestimate_batchnorm
from edgekd.train.checkpoint import EpochRecord
from edgekd.train.evaluate import validation_metric
from edgekd.train.loop import Trainee, train
from edgekd.train.options import TrainSpec
from edgekd.zoo.student import StudentArch, StudentSpec


class DistilledStudent(QuantStudent):
    """A student trained with fake quantization."""

    def history(self) -> list[EpochRecord]:
        """Return one record per epoch of its training."""
        return [EpochRecord(**record) for record in self.read_json("history.json")]


@stage(DistilledStudent, version=6)
def distill_student(
    folder: Path,
    start: QuantStudent,
    student: StudentSpec,
    arch: StudentArch,
    teacher: Heard | None,
    teacher_spec: HeardSpec | None,
    quantize: QuantizeSpec,
    distill: DistillMethod,
    data: DataSpec,
    task: TaskSpec,
    training: TrainSpec,
    seed: int,
) -> None:
    """Train with fake quantization, from ``start``'s weights and grids or from random ones."""
    if distill.student_start == "random":
        network = random_student(student, arch, quantize, data, training, seed)
    else:
        network = load_student(start, student, arch, quantize, data.info())
    for mark in held_at_zero(network):
        kind = quantize.weights.kind
        note(f"{mark} is zero all over, which quantize.weights.kind {kind} cannot change: use lsq")
    teaching = None
    if teacher and teacher_spec:
        torch.manual_seed(seed + 1)  # not the student's start
        if distill.teacher_start == "random":
            assert isinstance(teacher_spec, TeacherSpec)  # several are frozen: the spec refuses to train them
            teaching = random_teacher(teacher_spec, data.info())
        else:
            teaching = load_heard(teacher, teacher_spec, data.info(), heard_at=distill.heard_at)
    trainee = Trainee(network, teaching, data.split("train"), validation_metric(data, task))
    history = train(trainee, distill.phases(task), training, seed=seed, scratch=folder / "scratch")
    reestimate_batchnorm(
        network, trainee.train, batch_size=training.batch_size, augment=training.augment, seed=seed
    )
    save_student(folder, network)
    write_json(folder / "history.json", [asdict(record) for record in history])


def random_student(
    student: StudentSpec,
    arch: StudentArch,
    quantize: QuantizeSpec,
    data: DataSpec,
    training: TrainSpec,
    seed: int,
) -> fx.GraphModule:
    """Return a student with random weights, a function of the seed; the last method calibrates its scales.

    BatchNorm's statistics come first: without them no activation has the size that training will see.
    """
    torch.manual_seed(seed)
    network = fresh_student(student, arch, quantize, data.info())
    with unquantized(network):
        reestimate_batchnorm(
            network, data.split("train"), batch_size=training.batch_size, augment=training.augment, seed=seed
        )
    images = torch.tensor(quantize.calibration.images(data))
    calibrate(network, torch.split(images, CALIBRATION_BATCH), quantize.calibration.methods[-1])
    return network
