"""The stage ``quantize_student``: post-training quantization, each report's baseline and training's start."""

import copy
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, fx, nn

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


@stage(PtqStudent, version=7)
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
    network = student_network(student, arch, data.info())
    float_student.load_into(network)
    test = data.split("test")
    trials: list[PtqTrial] = []
    for grids in calibrated_grids(network, quantize, images):
        metric = task.score(predict(grids.deployed, test), test.labels)
        if all(grids.logit_mse < trial.logit_mse for trial in trials):
            save_student(folder, grids.student)
        trials.append(PtqTrial(method=grids.method, logit_mse=grids.logit_mse, metric=metric))
    write_json(folder / "trials.json", [trial.model_dump(mode="json") for trial in trials])


class CalibratedGrids(NamedTuple):
    """What one calibration method made of a float network.

    Attributes:
        method: Its name.
        student: The network with quantizers.
        deployed: The same as an engine will hold it.
        logit_mse: As in `PtqTrial`.
    """

    method: CalibrationMethod
    student: fx.GraphModule
    deployed: fx.GraphModule
    logit_mse: float


def calibrated_grids(network: nn.Module, quantize: QuantizeSpec, images: Tensor) -> Iterator[CalibratedGrids]:
    """Calibrate a float network by every method, on images uint8 (n, height, width, channels)."""
    batches = torch.split(images, CALIBRATION_BATCH)
    seen = Split(images.numpy(), np.zeros(len(images), np.int64))
    float_logits = predict(network, seen)
    with progress("calibrate", len(quantize.calibration.methods)) as advance:
        for method in quantize.calibration.methods:
            prepared = prepare(network, images[:2], quantize.profile, scheme=quantize.scheme)
            calibrate(prepared, batches, method)
            deployed = copy.deepcopy(prepared)
            if not quantize.weights.not_deployable():  # else it is there for comparison, without an engine
                deploy(deployed)
                settle_biases(deployed)
            logit_mse = float(np.mean((predict(deployed, seen) - float_logits) ** 2))
            yield CalibratedGrids(method, prepared, deployed, logit_mse)
            advance(method=method)


def best_grids(network: nn.Module, quantize: QuantizeSpec, images: Tensor) -> fx.GraphModule:
    """Return a float network with the grids whose logits are nearest to its own."""
    return min(calibrated_grids(network, quantize, images), key=lambda grids: grids.logit_mse).student
