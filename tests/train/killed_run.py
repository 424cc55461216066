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
from edgekd.tasks.classification import ClassificationSpec
from edgekd.train.checkpoint import EpochRecord
from edgekd.train.label_loss import LabelLoss
from edgekd.train.loop import Trainee, train
from edgekd.train.options import TrainSpec
from edgekd.train.phase import Phase
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


def run(scratch: Path, *, kill_in_epoch: int | None) -> tuple[ImageNetwork, list[EpochRecord]]:
    """Train for two phases of three epochs; the end of an epoch may be the end of the process."""
    torch.set_num_threads(1)
    rng = np.random.default_rng(0)
    data = Split(rng.integers(0, 256, (64, 4, 4, 1), dtype=np.uint8), rng.integers(0, 2, 64))
    done = []

    def evaluate(student: nn.Module) -> float:
        done.append(student)
        if len(done) == kill_in_epoch:
            os.kill(os.getpid(), signal.SIGKILL)
        return 0.5

    student = network()
    phase = Phase("p", Schedule(epochs=3, learning_rate=0.1), LabelLoss(ClassificationSpec()))
    options = TrainSpec(batch_size=8, compile="never", augment=AugmentSpec(shift_pixels=1, flip=True))
    history = train(Trainee(student, None, data, evaluate), (phase, phase), options, seed=3, scratch=scratch)
    return student, history


if __name__ == "__main__":
    run(Path(sys.argv[1]), kill_in_epoch=int(sys.argv[2]))
