"""The training loop: one phase after the other, resumable at every epoch, and every few minutes in long ones.

Order, augmentation and randomness are functions of (seed, epoch, step), so a checkpoint holds the weights,
buffers (quantizer scales, batch statistics), the optimizers and how far it came. Lightning Fabric places
tensors and networks.
"""

import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn

from edgekd.core.machine import machine
from edgekd.data.dataset import Split
from edgekd.train.checkpoint import EpochRecord, Progress, load_checkpoint
from edgekd.train.networks import Networks
from edgekd.train.options import TrainSpec
from edgekd.train.phase import Phase
from edgekd.train.phase_run import PhaseRun, Run
from edgekd.train.ranks import end_of_training, make_fabric, share_training

STEPS_THAT_PAY_FOR_COMPILING = 1000


@dataclass(frozen=True)
class Trainee:
    """What is trained and against what.

    Attributes:
        student: The network that learns; changed in place.
        teacher: Changed in place by phases in which it learns; None where no phase asks for it.
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
    networks = Networks(trainee.student, trainee.teacher, phases, options)
    networks.restore(tensors)
    if _is_complete(found, phases):
        networks.finish()
        return state.history
    fabric = make_fabric()
    fabric.barrier()  # all have read the checkpoint before the first process writes the next one
    networks.to(fabric.device)
    _note_surroundings(state, fabric)
    run = Run(fabric, networks, trainee.teacher, trainee.train, trainee.evaluate, options, seed, scratch)
    planned = sum(len(phase.epochs) for phase in phases) * run.per_epoch
    compiled = compile_pays(options, planned) if found is None else state.compiled
    for index, phase in enumerate(phases):
        if index < state.phase:
            continue
        if index > state.phase:
            state = Progress(
                index,
                compiled=compiled,
                surroundings=state.surroundings,
                history=state.history,
                note=state.note,
            )
            tensors = {}
        PhaseRun(run, phase, state, tensors).run()
    end_of_training(fabric)
    networks.finish()
    return state.history


def compile_pays(options: TrainSpec, steps: int) -> bool:
    """Whether to compile the phases of a run of so many planned steps: each costs about half a minute."""
    if options.compile != "auto":
        return options.compile == "always"
    return steps >= STEPS_THAT_PAY_FOR_COMPILING and shutil.which("g++") is not None


def _is_complete(found: tuple[Progress, dict[str, Tensor]] | None, phases: Sequence[Phase]) -> bool:
    return found is not None and len(found[0].history) == sum(len(phase.epochs) for phase in phases)


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
