"""The stage ``quantize_student``: post-training quantization, each report's baseline and training's start."""

from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch

from edgekd.core.artifact import stage
from edgekd.core.atomic import write_json
from edgekd.core.progress import progress
from edgekd.data.dataset import DataSpec, Split
from edgekd.export.float_network import FloatStudent
from edgekd.quant.calibrate import CalibrationMethod, calibrate
from edgekd.quant.prepare import prepare
from edgekd.quant.student import QuantizeSpec, QuantStudent, save_student
from edgekd.tasks.classification import TaskSpec
from edgekd.train.evaluate import predict
from edgekd.zoo.student import StudentArch, StudentSpec, student_network

CALIBRATION_BATCH = 64


@dataclass(frozen=True)
class PtqTrial:
    """One calibration method.

    Attributes:
        method: minmax, percentile or mse.
        logit_mse: Mean squared difference of its logits from the float student's on the calibration images.
        correct: Right answers of the fake-quantized student on the test split; reported, never decided on.
        n: Samples of the test split.
    """

    method: CalibrationMethod
    logit_mse: float
    correct: int
    n: int


class PtqStudent(QuantStudent):
    """A float student with calibrated grids."""

    @property
    def selected(self) -> CalibrationMethod:
        """The method whose grids it has."""
        return min(self.trials(), key=lambda trial: trial.logit_mse).method

    def trials(self) -> list[PtqTrial]:
        """Return every method that was tried."""
        return [PtqTrial(**trial) for trial in self.read_json("trials.json")]


@stage(PtqStudent, version=2)
def quantize_student(
    folder: Path,
    float_student: FloatStudent,
    student: StudentSpec,
    arch: StudentArch,
    quantize: QuantizeSpec,
    data: DataSpec,
    task: TaskSpec,
) -> None:
    """Calibrate by every method; keep the grids whose logits are nearest to the float student's."""
    images = torch.tensor(quantize.calibration.images(data))
    batches = torch.split(images, CALIBRATION_BATCH)
    network = student_network(student, arch, data.info())
    float_student.load_into(network)
    seen, test = Split(images.numpy(), np.zeros(len(images), np.int64)), data.split("test")
    float_logits = predict(network, seen)
    trials: list[PtqTrial] = []
    with progress("calibrate", len(quantize.calibration.methods)) as advance:
        for method in quantize.calibration.methods:
            prepared = prepare(network, images[:2], quantize.profile, scheme=quantize.scheme)
            calibrate(prepared, batches, method)
            logit_mse = float(np.mean((predict(prepared, seen) - float_logits) ** 2))
            correct = int(np.sum(task.correct(predict(prepared, test), test.labels)))
            if all(logit_mse < trial.logit_mse for trial in trials):
                save_student(folder, prepared)
            trials.append(PtqTrial(method, logit_mse, correct, len(test)))
            advance(method=method)
    write_json(folder / "trials.json", [asdict(trial) for trial in trials])
