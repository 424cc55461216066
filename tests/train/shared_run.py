"""A stage that trains, for several processes.

``python shared_run.py STORE DEVICES [KILLED_RANK]`` runs it through a store; with a rank, that process dies
by SIGKILL in the second epoch, once. ``torchrun shared_run.py`` trains without a store and prints each
process's digest of its weights.
"""

import copy
import hashlib
import os
import signal
import sys
import tempfile
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save, save_file
from torch import Tensor, nn

from edgekd.core.artifact import Artifact, stage
from edgekd.core.atomic import write_json
from edgekd.core.schedule import Schedule
from edgekd.core.store import Store
from edgekd.data.dataset import Split
from edgekd.distill.qkd import QkdSpec
from edgekd.errors import EdgeKdError
from edgekd.tasks.classification import ClassificationSpec
from edgekd.train.label_loss import LabelLoss
from edgekd.train.loop import Trainee, train
from edgekd.train.options import TrainSpec
from edgekd.train.phase import Phase
from edgekd.zoo.pixels import ImageNetwork, PixelGrid


class MortalLoss(LabelLoss):
    """The label loss; a chosen process dies in it if it is the first time."""

    def __init__(self, killed_rank: str, mark: Path) -> None:
        super().__init__(ClassificationSpec())
        self.killed_rank, self.mark, self.batches = killed_rank, mark, 0

    def forward(self, logits_s: Tensor, logits_t: Tensor | None, y: Tensor) -> Tensor:
        self.batches += 1
        if os.environ.get("RANK") == self.killed_rank and self.batches == 10 and not self.mark.exists():
            self.mark.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return super().forward(logits_s, logits_t, y)


def learn(scratch: Path, killed_rank: str) -> tuple[nn.Module, list[float]]:
    """Train three epochs of eight batches of eight images."""
    torch.set_num_threads(1)
    torch.manual_seed(7)
    body = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(16, 2))
    network, teacher = (
        ImageNetwork(PixelGrid.like(), body),
        ImageNetwork(PixelGrid.like(), copy.deepcopy(body)),
    )
    rng = np.random.default_rng(0)
    data = Split(rng.integers(0, 256, (64, 4, 4, 1), dtype=np.uint8), rng.integers(0, 2, 64))
    loss = MortalLoss(killed_rank, scratch.parents[2] / "killed")
    spec = QkdSpec(self_studying=0, schedule=Schedule(epochs=3, learning_rate=0.1))
    teaching = spec.phases(ClassificationSpec())[0].teacher
    phase = Phase("p", spec.schedule, loss, teacher=teaching)
    options = TrainSpec(batch_size=8, compile="never", ema=0.5)
    trainee = Trainee(network, teacher, data, lambda student: 0.5)
    history = train(trainee, (phase,), options, seed=3, scratch=scratch)
    losses = [value for record in history for value in (record.loss, record.teacher_loss or 0.0)]
    return nn.ModuleDict({"student": network, "teacher": teacher}), losses


@stage(Artifact, version=1)
def learn_in_a_stage(folder: Path, killed_rank: str) -> None:
    network, losses = learn(folder / "scratch", killed_rank)
    save_file(network.state_dict(), folder / "weights.safetensors")
    write_json(folder / "losses.json", losses)
    with (folder.parents[1] / "written").open("a") as file:
        file.write(f"{os.getpid()}\n")


def main(root: Path, devices: int, killed_rank: str = "") -> None:
    try:
        artifact = Store(root, devices=devices).run(learn_in_a_stage, killed_rank)
    except EdgeKdError as e:
        sys.exit(str(e))
    print(artifact.folder)


if __name__ == "__main__":
    if len(sys.argv) > 1:
        main(Path(sys.argv[1]), int(sys.argv[2]), *sys.argv[3:])
    else:
        with tempfile.TemporaryDirectory() as place:
            scratch = Path(place) / "a" / "b" / "scratch"
            scratch.mkdir(parents=True)
            trained, _ = learn(scratch, "")
            print(hashlib.sha256(save(trained.state_dict())).hexdigest())
