"""The training loop: one phase after the other, resumable at every epoch.

Lightning Fabric places tensors and networks; everything else is here.
"""

import math
import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn

from edgekd.core.progress import progress
from edgekd.data.batches import batches_per_epoch, epoch_batches
from edgekd.data.dataset import Split
from edgekd.errors import TrainError
from edgekd.train.checkpoint import (
    EpochRecord,
    Progress,
    load_checkpoint,
    optimizer_tensors,
    restore_optimizer,
    save_checkpoint,
)
from edgekd.train.options import TrainSpec
from edgekd.train.phase import Phase

STEPS_THAT_PAY_FOR_COMPILING = 1000
WARMUP_FRACTION = 0.1

_PRECISIONS: dict[str, Literal["32-true", "bf16-mixed"]] = {"float32": "32-true", "bf16": "bf16-mixed"}


@dataclass(frozen=True)
class Trainee:
    """What is trained and against what.

    Attributes:
        student: The network that learns; changed in place.
        teacher: Frozen, or None where no loss asks for it.
        train: Training rows.
        evaluate: Returns the metric on the validation split, or None without one.
    """

    student: nn.Module
    teacher: nn.Module | None
    train: Split
    evaluate: Callable[[nn.Module], float | None]


def train(
    trainee: Trainee, phases: Sequence[Phase], options: TrainSpec, *, seed: int, scratch: Path
) -> list[EpochRecord]:
    """Train ``trainee.student`` through ``phases``.

    A run that was killed goes on after its last finished epoch: weights, optimizer, order of the data and
    the decision to compile are those of the run that was killed.

    Args:
        trainee: Networks and data.
        phases: In order.
        options: Batch size, optimizer, precision.
        seed: Of the order and variation of images.
        scratch: Folder for the checkpoint; it outlives a killed run.

    Returns:
        One record per epoch.

    Raises:
        TrainError: If the loss is no longer finite, or a loss needs a teacher and there is none.
    """
    found = load_checkpoint(scratch)
    state, tensors = found if found is not None else (Progress(phase=-1), {})
    _load_student(trainee.student, tensors)
    for index, phase in enumerate(phases):
        if index < state.phase:
            continue
        if phase.loss.needs_teacher and trainee.teacher is None:
            what = f"phase {phase.name!r} needs a teacher"
            raise TrainError(what, where="distill", fix="add a teacher section, or use distill: {kind: none}")
        run = _PhaseRun(trainee, phase, options, seed=seed, scratch=scratch)
        if index > state.phase:
            state = Progress(index, 0, compile_pays(options, run.steps), state.history)
            tensors = {}
        run.run(state, tensors)
    trainee.student.cpu().eval()
    return state.history


def compile_pays(options: TrainSpec, steps: int) -> bool:
    """Whether to compile a phase of so many planned steps: compiling costs about half a minute."""
    if options.compile != "auto":
        return options.compile == "always"
    return steps >= STEPS_THAT_PAY_FOR_COMPILING and shutil.which("g++") is not None


def rate_at(step: int, steps: int) -> float:
    """Return the learning rate of ``step`` as a fraction of its peak: linear warm-up, then cosine to 0.

    Example:
        >>> [round(rate_at(step, 100), 3) for step in (0, 9, 10, 55, 99)]
        [0.1, 1.0, 1.0, 0.5, 0.0]
    """
    warmup = max(1, round(WARMUP_FRACTION * steps))
    if step < warmup:
        return (step + 1) / warmup
    return 0.5 * (1.0 + math.cos(math.pi * (step - warmup) / max(1, steps - warmup)))


class _PhaseRun:
    """One phase on its way: networks and optimizer where Fabric placed them."""

    def __init__(
        self, trainee: Trainee, phase: Phase, options: TrainSpec, *, seed: int, scratch: Path
    ) -> None:
        self.trainee, self.phase, self.options = trainee, phase, options
        self.seed, self.scratch = seed, scratch
        self.per_epoch = batches_per_epoch(len(trainee.train), batch_size=options.batch_size)
        self.steps = phase.schedule.epochs * self.per_epoch
        self.fabric = Fabric(accelerator="auto", devices=1, precision=_PRECISIONS[options.precision])

    def run(self, state: Progress, tensors: dict[str, Tensor]) -> None:
        self.bare_optimizer = _optimizer(
            self.trainee.student, self.options, self.phase.schedule.learning_rate
        )
        prepare: Callable[[Any], Any] = torch.compile if state.compiled else lambda network: network
        self.student, self.optimizer = self.fabric.setup(prepare(self.trainee.student), self.bare_optimizer)
        restore_optimizer(self.optimizer, tensors)  # where Fabric placed the weights
        self.teacher = None
        if self.phase.loss.needs_teacher and self.trainee.teacher is not None:
            self.teacher = self.fabric.setup_module(
                prepare(self.trainee.teacher.eval().requires_grad_(False))
            )
        title = f"{self.phase.name} (compiled)" if state.compiled else self.phase.name
        with progress(title, self.steps - state.epoch * self.per_epoch) as advance:
            for epoch in range(state.epoch, self.phase.schedule.epochs):
                state.history.append(self._epoch(epoch, state, advance))
                state.epoch = epoch + 1
                student = {
                    f"student.{key}": value for key, value in self.trainee.student.state_dict().items()
                }
                save_checkpoint(self.scratch, state, {**student, **optimizer_tensors(self.bare_optimizer)})

    def _epoch(self, epoch: int, state: Progress, advance: Callable[..., None]) -> EpochRecord:
        started = time.perf_counter()
        self.student.train()
        batches = epoch_batches(
            self.trainee.train,
            batch_size=self.options.batch_size,
            seed=self.seed,
            epoch=len(state.history),
            augment=self.options.augment,
        )
        total = 0.0
        for step, (images, y) in enumerate(batches, start=epoch * self.per_epoch):
            loss = self._step(step, self.fabric.to_device(images), self.fabric.to_device(y))
            total += loss
            advance(loss=f"{loss:.3f}")
        mean_loss = total / self.per_epoch
        if not math.isfinite(mean_loss):
            what = f"the loss became {mean_loss} in epoch {epoch + 1} of phase {self.phase.name!r}"
            raise TrainError(what, fix="lower learning_rate; look at the inputs for NaN")
        metric = self.trainee.evaluate(self.trainee.student)
        seconds = time.perf_counter() - started
        rate = self._rate(step)
        return EpochRecord(self.phase.name, epoch + 1, mean_loss, metric, rate, seconds, state.compiled)

    def _rate(self, step: int) -> float:
        return self.phase.schedule.learning_rate * rate_at(step, self.steps)

    def _step(self, step: int, images: Tensor, y: Tensor) -> float:
        for group in self.optimizer.param_groups:
            group["lr"] = self._rate(step)
        logits_t = None
        if self.teacher is not None:
            with torch.no_grad():
                logits_t = self.teacher(images)
        loss = self.phase.loss(self.student(images), logits_t, y)
        self.fabric.backward(loss)
        self.optimizer.step()
        self.optimizer.zero_grad()
        return float(loss.detach())


def _load_student(student: nn.Module, tensors: dict[str, Tensor]) -> None:
    stored = {
        key.removeprefix("student."): value for key, value in tensors.items() if key.startswith("student.")
    }
    if stored:
        student.load_state_dict(stored)


def _optimizer(student: nn.Module, options: TrainSpec, learning_rate: float) -> torch.optim.Optimizer:
    """Return SGD with weight decay on weights only: tensors of two and more dimensions."""
    decayed = [p for p in student.parameters() if p.requires_grad and p.dim() > 1]
    others = [p for p in student.parameters() if p.requires_grad and p.dim() <= 1]
    groups = [
        {"params": decayed, "weight_decay": options.weight_decay},
        {"params": others, "weight_decay": 0.0},
    ]
    return torch.optim.SGD(groups, lr=learning_rate, momentum=options.momentum, nesterov=options.momentum > 0)
