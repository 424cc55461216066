"""The stage ``quantize_student``: post-training quantization, each report's baseline and training's start."""

import copy
from pathlib import Path

import numpy as np
import torch

from edgekd.core.artifact import stage
from edgekd.core.atomic import write_json
from edgekd.core.progress import progress
from edgekd.core.spec_base import Spec
from edgekd.data.dataset import DataSpec, Split
from edgekd.export.float_network import FloatStudent
from edgekd.quant.calibrate import CalibrationMethod, calibrate
from edgekd.quant.deploy import deploy
from edgekd.quant.prepare import prepare
from edgekd.quant.settle import settle_biases
from edgekd.quant.student import QuantizeSpec, QuantStudent, save_student
from edgekd.tasks.classification import TaskSpec
from edgekd.tasks.metric import Metric
from edgekd.train.evaluate import predict
from edgekd.zoo.student import StudentArch, StudentSpec, student_network

CALIBRATION_BATCH = 64


class PtqTrial(Spec):
    """One calibration method.

    Attributes:
        method: minmax, percentile or mse.
        logit_mse: Mean squared difference of its logits from the float student's on the calibration images.
        metric: Of the fake-quantized student on the test split; reported, never decided on.
    """

    method: CalibrationMethod
    logit_mse: float
    metric: Metric


class PtqStudent(QuantStudent):
    """A float student with calibrated grids."""

    @property
    def selected(self) -> CalibrationMethod:
        """The method whose grids it has."""
        return min(self.trials(), key=lambda trial: trial.logit_mse).method

    def trials(self) -> list[PtqTrial]:
        """Return every method that was tried."""
        return [PtqTrial.model_validate(trial) for trial in self.read_json("trials.json")]


@stage(PtqStudent, version=5)
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
            deployed = copy.deepcopy(prepared)
            if not quantize.weights.not_deployable():  # else it is there for comparison, without an engine
                deploy(deployed)
                settle_biases(deployed)
            logit_mse = float(np.mean((predict(deployed, seen) - float_logits) ** 2))
            metric = task.score(predict(deployed, test), test.labels)
            if all(logit_mse < trial.logit_mse for trial in trials):
                save_student(folder, prepared)
            trials.append(PtqTrial(method=method, logit_mse=logit_mse, metric=metric))
            advance(method=method)
    write_json(folder / "trials.json", [trial.model_dump(mode="json") for trial in trials])
