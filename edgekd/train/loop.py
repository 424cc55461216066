"""The training loop: one phase after the other, resumable at every epoch, and every few minutes in long ones.

Order, augmentation and randomness are functions of (seed, epoch, step), so a checkpoint holds the weights,
buffers (quantizer scales, batch statistics), the optimizer and how far it came. Lightning Fabric places
tensors and networks.
"""

import math
import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning_fabric import Fabric
from torch import Tensor, nn

from edgekd.core.machine import machine
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
from edgekd.train.ranks import (
    Precision,
    assert_same_weights,
    end_of_training,
    make_fabric,
    mean,
    share,
    share_training,
)

STEPS_THAT_PAY_FOR_COMPILING = 1000
CHECKPOINT_SECONDS = 300.0
"""Longest time between two checkpoints; each epoch ends with one."""
WARMUP_FRACTION = 0.1

_PRECISIONS: dict[str, Precision] = {"float32": "32-true", "bf16": "bf16-mixed"}


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

    A run that was killed goes on after its last checkpoint: weights, optimizer, order of the data and the
    decision to compile are those of the run that was killed. On another machine, or with another number of
    threads or processes, it goes on too, and the history notes that bits may differ.

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
    if not _is_complete(found, phases) and share_training():
        found = load_checkpoint(scratch)
    state, tensors = found if found is not None else (Progress(phase=-1), {})
    _load_module("student", trainee.student, tensors)
    if _is_complete(found, phases):
        trainee.student.cpu().eval()
        return state.history
    fabric = make_fabric(_PRECISIONS[options.precision])
    fabric.barrier()  # all have read the checkpoint before the first process writes the next one
    _note_surroundings(state, fabric)
    for index, phase in enumerate(phases):
        if index < state.phase:
            continue
        if phase.loss.needs_teacher and trainee.teacher is None:
            what = f"phase {phase.name!r} needs a teacher"
            raise TrainError(what, where="distill", fix="add a teacher section, or use distill: {kind: none}")
        run = _PhaseRun(fabric, trainee, phase, options, seed=seed, scratch=scratch)
        if index > state.phase:
            compiled = compile_pays(options, run.steps)
            state = Progress(index, compiled=compiled, surroundings=state.surroundings, history=state.history)
            tensors = {}
        run.run(state, tensors)
    end_of_training(fabric)
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
        self,
        fabric: Fabric,
        trainee: Trainee,
        phase: Phase,
        options: TrainSpec,
        *,
        seed: int,
        scratch: Path,
    ) -> None:
        self.fabric, self.trainee, self.phase, self.options = fabric, trainee, phase, options
        self.seed, self.scratch = seed, scratch
        self.per_epoch = batches_per_epoch(len(trainee.train), batch_size=options.batch_size)
        self.steps = phase.schedule.epochs * self.per_epoch
        self.saved_at = time.monotonic()

    def run(self, state: Progress, tensors: dict[str, Tensor]) -> None:
        self.bare_optimizer = _optimizer(
            self.trainee.student, self.options, self.phase.schedule.learning_rate
        )
        prepare: Callable[[Any], Any] = torch.compile if state.compiled else lambda network: network
        self.student, self.optimizer = self.fabric.setup(prepare(self.trainee.student), self.bare_optimizer)
        restore_optimizer(self.optimizer, tensors)  # where Fabric placed the weights
        _load_module("loss", self.phase.loss, tensors)
        self.phase.loss.to(self.fabric.device)
        self.teacher = None
        if self.phase.loss.needs_teacher and self.trainee.teacher is not None:
            teacher = self.trainee.teacher.eval().requires_grad_(False)
            self.teacher = prepare(teacher.to(self.fabric.device))
        title = f"{self.phase.name} (compiled)" if state.compiled else self.phase.name
        with progress(title, self.steps - state.epoch * self.per_epoch - state.step) as advance:
            for epoch in range(state.epoch, self.phase.schedule.epochs):
                state.history.append(self._epoch(epoch, state, advance))
                state.epoch, state.step, state.loss_sum, state.seconds, state.note = (
                    epoch + 1,
                    0,
                    0.0,
                    0.0,
                    "",
                )
                assert_same_weights(self.fabric, self.trainee.student)
                self._save(state)

    def _save(self, state: Progress) -> None:
        if self.fabric.is_global_zero:
            modules = {"student": self.trainee.student, "loss": self.phase.loss}
            tensors = {
                f"{name}.{key}": value
                for name, module in modules.items()
                for key, value in module.state_dict().items()
            }
            save_checkpoint(self.scratch, state, {**tensors, **optimizer_tensors(self.bare_optimizer)})
        self.saved_at = time.monotonic()

    def _epoch(self, epoch: int, state: Progress, advance: Callable[..., None]) -> EpochRecord:
        started = time.perf_counter() - state.seconds
        self.student.train()
        batches = epoch_batches(
            self.trainee.train,
            batch_size=self.options.batch_size,
            seed=self.seed,
            epoch=len(state.history),
            augment=self.options.augment,
        )
        for images, y in islice(batches, state.step, None):
            step = epoch * self.per_epoch + state.step
            self._seed_randomness(len(state.history), state.step)
            loss = self._step(step, share(self.fabric, images), share(self.fabric, y))
            state.step += 1
            state.loss_sum += loss
            advance(loss=f"{loss:.3f}")
            if time.monotonic() - self.saved_at > CHECKPOINT_SECONDS and state.step < self.per_epoch:
                state.seconds = time.perf_counter() - started
                self._save(state)
        mean_loss = mean(self.fabric, state.loss_sum) / self.per_epoch
        if not math.isfinite(mean_loss):
            what = f"the loss became {mean_loss} in epoch {epoch + 1} of phase {self.phase.name!r}"
            raise TrainError(what, fix="lower learning_rate; look at the inputs for NaN")
        metric = self.trainee.evaluate(self.trainee.student) if self.fabric.is_global_zero else None
        return EpochRecord(
            phase=self.phase.name,
            epoch=epoch + 1,
            loss=mean_loss,
            metric=metric,
            lr=self._rate((epoch + 1) * self.per_epoch - 1),
            seconds=time.perf_counter() - started,
            compiled=state.compiled,
            note=state.note,
        )

    def _seed_randomness(self, epoch: int, step: int) -> None:
        """Make what a network draws by itself, for dropout, a function of the place in the run."""
        place = [self.seed, epoch, step, self.fabric.global_rank]
        torch.manual_seed(int(np.random.SeedSequence(place).generate_state(1)[0]))

    def _rate(self, step: int) -> float:
        return self.phase.schedule.learning_rate * rate_at(step, self.steps)

    def _step(self, step: int, images: Tensor, y: Tensor) -> float:
        for group in self.optimizer.param_groups:
            group["lr"] = self._rate(step)
        logits_t = None
        if self.teacher is not None:
            with torch.no_grad(), self.fabric.autocast():
                logits_t = self.teacher(images).float()
        loss = self.phase.loss(self.student(images), logits_t, y)
        self.fabric.backward(loss)
        self.optimizer.step()
        self.optimizer.zero_grad()
        return float(loss.detach())


def _load_module(name: str, module: nn.Module, tensors: dict[str, Tensor]) -> None:
    prefix = f"{name}."
    stored = {key.removeprefix(prefix): value for key, value in tensors.items() if key.startswith(prefix)}
    if stored:
        module.load_state_dict(stored)


def _is_complete(found: tuple[Progress, dict[str, Tensor]] | None, phases: Sequence[Phase]) -> bool:
    return found is not None and len(found[0].history) == sum(phase.schedule.epochs for phase in phases)


def _note_surroundings(state: Progress, fabric: Fabric) -> None:
    """Remember what bits depend on; note for the next epoch what has changed since the checkpoint."""
    fingerprint = machine()
    now: dict[str, str | int] = {
        "torch": torch.__version__,
        "threads": torch.get_num_threads(),
        "processes": fabric.world_size,
        "device": torch.cuda.get_device_name() if fabric.device.type == "cuda" else fingerprint.cpu,
    }
    before = state.surroundings or now
    state.surroundings = now
    changes = [f"{name} {now[name]} instead of {before[name]}" for name in now if now[name] != before[name]]
    if changes:
        state.note = f"resumed with {', '.join(changes)}"


def _optimizer(student: nn.Module, options: TrainSpec, learning_rate: float) -> torch.optim.Optimizer:
    """Return SGD with weight decay on weights only: tensors of two and more dimensions."""
    decayed = [p for p in student.parameters() if p.requires_grad and p.dim() > 1]
    others = [p for p in student.parameters() if p.requires_grad and p.dim() <= 1]
    groups = [
        {"params": decayed, "weight_decay": options.weight_decay},
        {"params": others, "weight_decay": 0.0},
    ]
    return torch.optim.SGD(groups, lr=learning_rate, momentum=options.momentum, nesterov=options.momentum > 0)
