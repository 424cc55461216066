"""One phase of training, step by step."""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
import torch
from lightning_fabric import Fabric
from torch import Tensor, nn

from edgekd.core.progress import progress
from edgekd.data.batches import batches_per_epoch, epoch_batches
from edgekd.data.dataset import Split
from edgekd.errors import TrainError
from edgekd.train.checkpoint import EpochRecord, Progress, save_checkpoint
from edgekd.train.learner import Learner
from edgekd.train.networks import Networks
from edgekd.train.options import TrainSpec
from edgekd.train.phase import Phase
from edgekd.train.ranks import assert_same_weights, mean, share
from edgekd.train.teaching import FrozenTeacher, LearningTeacher

CHECKPOINT_SECONDS = 300.0
"""Longest time between two checkpoints; each epoch ends with one."""
WARMUP_FRACTION = 0.1


@dataclass(frozen=True)
class Run:
    """What all phases of a run share.

    Attributes:
        fabric: Places networks and tensors.
        networks: What is carried from phase to phase.
        teacher: Of the phases that need one.
        train: Training rows.
        evaluate: Returns the metric on the validation split, or None without one.
        options: Batch size, optimizer, precision.
        seed: Of the order and variation of images.
        scratch: Folder for the checkpoint.
    """

    fabric: Fabric
    networks: Networks
    teacher: nn.Module | None
    train: Split
    evaluate: Callable[[nn.Module], float | None]
    options: TrainSpec
    seed: int
    scratch: Path

    @property
    def per_epoch(self) -> int:
        """Steps of an epoch."""
        return batches_per_epoch(len(self.train), batch_size=self.options.batch_size)


class PhaseRun:
    """One phase on its way."""

    def __init__(self, run: Run, phase: Phase, state: Progress, tensors: dict[str, Tensor]) -> None:
        self.shared, self.phase, self.state = run, phase, state
        self.fabric, self.networks, self.per_epoch = run.fabric, run.networks, run.per_epoch
        self.saved_at = time.monotonic()
        self.student = Learner(
            run.networks.student, run.fabric, run.options, compiled=state.compiled, trains=phase.trains
        )
        self.student.restore("optimizer", tensors)
        self.teacher = _teacher(run, phase, compiled=state.compiled)
        if isinstance(self.teacher, LearningTeacher):
            self.teacher.learner.restore("teacher_optimizer", tensors)

    def run(self) -> None:
        """Train to the end of the phase."""
        state, epochs = self.state, len(self.phase.epochs)
        title = f"{self.phase.name} (compiled)" if state.compiled else self.phase.name
        with progress(title, (epochs - state.epoch) * self.per_epoch - state.step) as advance:
            for epoch in range(state.epoch, epochs):
                state.history.append(self._epoch(epoch, advance))
                state.begin_epoch(epoch + 1)
                assert_same_weights(self.fabric, self.networks.student)
                if self.networks.teacher is not None:
                    assert_same_weights(self.fabric, self.networks.teacher)
                self._save()
        self.student.rest()

    def _save(self) -> None:
        for network in filter(None, (self.networks.student, self.networks.teacher)):
            _check_finite(network, self.phase)
        if self.fabric.is_global_zero:
            tensors = {**self.networks.tensors(), **self.student.tensors("optimizer")}
            if isinstance(self.teacher, LearningTeacher):
                tensors |= self.teacher.learner.tensors("teacher_optimizer")
            save_checkpoint(self.shared.scratch, self.state, tensors)
        self.saved_at = time.monotonic()

    def _epoch(self, epoch: int, advance: Callable[..., None]) -> EpochRecord:
        state, started = self.state, time.perf_counter() - self.state.seconds
        self.networks.student.train()
        if isinstance(self.teacher, LearningTeacher):
            self.teacher.learner.network.train()
        batches = epoch_batches(
            self.shared.train,
            batch_size=self.shared.options.batch_size,
            seed=self.shared.seed,
            epoch=len(state.history),
            augment=self.shared.options.augment,
        )
        for images, y in islice(batches, state.step, None):
            self._seed_randomness(len(state.history), state.step)
            loss = self._step(epoch, share(self.fabric, images), share(self.fabric, y))
            advance(loss=f"{loss:.3f}")
            if time.monotonic() - self.saved_at > CHECKPOINT_SECONDS and state.step < self.per_epoch:
                state.seconds = time.perf_counter() - started
                self._save()
        return self._record(epoch, started)

    def _step(self, epoch: int, images: Tensor, y: Tensor) -> float:
        state = self.state
        rate = self._rate(epoch, state.step)
        logits_s, logits_t, teacher_loss = self.student(images), None, 0.0
        if self.teacher is not None:
            logits_t, teacher_loss = self.teacher.teach(images, logits_s.detach(), y, rate)
        loss = self.phase.loss(logits_s, logits_t, y)
        value = float(loss.detach())
        for name, found in (("loss", value), ("teacher's loss", teacher_loss)):
            if not math.isfinite(found):
                what = f"the {name} became {found} in epoch {epoch + 1}"
                raise _diverged(what, self.phase)
        self.student.learn(loss, rate)
        state.step += 1
        self.networks.after_step(self._done(epoch, state.step))
        state.loss_sum += value
        state.teacher_loss_sum += teacher_loss
        return value

    def _record(self, epoch: int, started: float) -> EpochRecord:
        state, learns = self.state, isinstance(self.teacher, LearningTeacher)
        at_the_end = epoch + 1 == len(self.phase.epochs)
        return EpochRecord(
            phase=self.phase.name,
            epoch=epoch + 1,
            loss=self._mean(state.loss_sum),
            metric=self._metric(self.networks.kept),
            lr=self._rate(epoch, self.per_epoch - 1),
            seconds=time.perf_counter() - started,
            compiled=state.compiled,
            note=state.note,
            teacher_loss=self._mean(state.teacher_loss_sum) if learns else None,
            teacher_metric=self._metric(self.networks.teacher) if at_the_end else None,
        )

    def _mean(self, total: float) -> float:
        """Return the mean loss of all processes and steps of an epoch."""
        return mean(self.fabric, total) / self.per_epoch

    def _metric(self, network: nn.Module | None) -> float | None:
        if network is None or not self.fabric.is_global_zero:
            return None
        return self.shared.evaluate(network)

    def _seed_randomness(self, epoch: int, step: int) -> None:
        """Make what a network draws by itself, for dropout, a function of the place in the run."""
        place = [self.shared.seed, epoch, step, self.fabric.global_rank]
        torch.manual_seed(int(np.random.SeedSequence(place).generate_state(1)[0]))

    def _rate(self, epoch: int, step: int) -> float:
        schedule = self.phase.schedule
        done = (self.phase.epochs.start + epoch) * self.per_epoch + step
        return schedule.learning_rate * rate_at(done, schedule.epochs * self.per_epoch)

    def _done(self, epoch: int, steps: int) -> float:
        """Return how much of the schedule is done after so many steps of an epoch, 0..1."""
        return (self.phase.epochs.start + epoch + steps / self.per_epoch) / self.phase.schedule.epochs


def _teacher(run: Run, phase: Phase, *, compiled: bool) -> FrozenTeacher | LearningTeacher | None:
    network = run.teacher
    if not phase.needs_teacher:
        return None
    if network is None:
        what = f"phase {phase.name!r} needs a teacher"
        raise TrainError(what, where="distill", fix="add a teacher section, or use distill: {kind: qat}")
    if phase.teacher is None:
        return FrozenTeacher(network, run.fabric, run.options, compiled=compiled)
    return LearningTeacher(network, run.fabric, run.options, phase.teacher, compiled=compiled)


def _check_finite(network: nn.Module, phase: Phase) -> None:
    """Refuse to write a checkpoint from which nothing could go on."""
    for name, parameter in network.named_parameters():
        if not parameter.isfinite().all():
            what = f"{name} is no longer finite after a step"
            raise _diverged(what, phase)


def _diverged(what: str, phase: Phase) -> TrainError:
    return TrainError(
        f"{what} of phase {phase.name!r}", fix="lower learning_rate; look at the inputs for NaN"
    )


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
