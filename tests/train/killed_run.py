"""A run that is killed.

``python killed_run.py SCRATCH EPOCH`` dies by SIGKILL at the end of EPOCH, before its checkpoint is written.
"""

import os
import signal
import sys
from pathlib import Path

import numpy as np
import torch
from torch import nn

from edgekd.core.schedule import Schedule
from edgekd.data.augment import AugmentSpec
from edgekd.data.dataset import Split
from edgekd.distill.qkd import QkdSpec
from edgekd.quant.calibrate import calibrate
from edgekd.quant.lsq import LsqSpec
from edgekd.quant.prepare import prepare
from edgekd.quant.scheme import QuantScheme
from edgekd.tasks.classification import ClassificationSpec
from edgekd.train.checkpoint import EpochRecord
from edgekd.train.loop import Trainee, train
from edgekd.train.options import FreezingSpec, TrainSpec
from edgekd.zoo.pixels import ImageNetwork, PixelGrid


def network() -> ImageNetwork:
    """Return a tiny network with batch statistics and dropout, whose start is always the same."""
    torch.manual_seed(7)
    return ImageNetwork(
        PixelGrid.like(),
        nn.Sequential(
            nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Dropout(0.2), nn.Linear(16, 2)
        ),
    )


def run(scratch: Path, *, kill_in_epoch: int | None) -> tuple[nn.Module, list[EpochRecord]]:
    """Train for three phases of two epochs; the end of an epoch may be the end of the process.

    All that a checkpoint holds is there: a student with quantizers, a teacher that learns in the second
    phase, an average over the weights, weights that freeze.
    """
    torch.set_num_threads(1)
    rng = np.random.default_rng(0)
    data = Split(rng.integers(0, 256, (64, 4, 4, 1), dtype=np.uint8), rng.integers(0, 2, 64))
    done = []

    def evaluate(network: nn.Module) -> float:
        if network is not teacher:
            done.append(network)
        if len(done) == kill_in_epoch:
            os.kill(os.getpid(), signal.SIGKILL)
        return 0.5

    student = prepare(network(), torch.tensor(data.images[:2]), scheme=QuantScheme(weights=LsqSpec(bits=3)))
    calibrate(student, [torch.tensor(data.images)], "minmax")
    teacher = network()
    teacher.body[0].weight.data *= 2
    options = TrainSpec(
        batch_size=8,
        compile="never",
        augment=AugmentSpec(shift_pixels=1, flip=True),
        ema=0.9,
        freezing=FreezingSpec(momentum=0.1, begin=0.2, end=0.1),
    )
    spec = QkdSpec(self_studying=0.33, tutoring=0.33, schedule=Schedule(epochs=6, learning_rate=0.1))
    trainee = Trainee(student, teacher, data, evaluate)
    history = train(trainee, spec.phases(ClassificationSpec()), options, seed=3, scratch=scratch)
    return nn.ModuleDict({"student": student, "teacher": teacher}), history


if __name__ == "__main__":
    run(Path(sys.argv[1]), kill_in_epoch=int(sys.argv[2]))
