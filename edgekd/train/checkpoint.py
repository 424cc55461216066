"""Checkpoints of a training run: one safetensors file, written atomically, nothing to unpickle."""

import hashlib
import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from edgekd.core.atomic import write_bytes
from edgekd.core.faults import fault_point
from edgekd.zoo.weights import storable

_FILE = "checkpoint.safetensors"


@dataclass(frozen=True)
class EpochRecord:
    """What one epoch did.

    Attributes:
        phase: Name of the phase.
        epoch: Counted from 1 within the phase.
        loss: Mean training loss.
        metric: The task's metric on the validation split, 0..1; None without one.
        lr: Learning rate of the last step.
        seconds: Duration.
        compiled: Whether its steps were compiled.
        note: What may keep it from repeating bit by bit; empty in a run that never changed its machine.
        teacher_loss: Mean training loss of a teacher that learns; None where it does not.
        teacher_metric: Of a teacher that some phase trains, on the validation split at the end of each phase.
    """

    phase: str
    epoch: int
    loss: float
    metric: float | None
    lr: float
    seconds: float
    compiled: bool
    note: str = ""
    teacher_loss: float | None = None
    teacher_metric: float | None = None


@dataclass
class Progress:
    """Where a run stands.

    Attributes:
        phase: Index of the phase that runs.
        epoch: Epochs of it that are done.
        step: Steps of the next epoch that are done.
        loss_sum: Sum of their losses.
        teacher_loss_sum: Sum of the teacher's losses, where it learns.
        seconds: Their duration.
        compiled: Whether the phase was compiled; a resumed run keeps the decision, since compiled and eager
            steps are not bit-identical.
        surroundings: What bits depend on besides the seed: threads, torch, hardware, processes.
        note: For the record of the next epoch.
        history: One record per epoch of all phases.
    """

    phase: int = 0
    epoch: int = 0
    step: int = 0
    loss_sum: float = 0.0
    teacher_loss_sum: float = 0.0
    seconds: float = 0.0
    compiled: bool = False
    surroundings: dict[str, str | int] = field(default_factory=dict)
    note: str = ""
    history: list[EpochRecord] = field(default_factory=list)

    def begin_epoch(self, done: int) -> None:
        """Stand at the start of an epoch, with ``done`` of the phase behind it."""
        self.epoch, self.step, self.seconds, self.note = done, 0, 0.0, ""
        self.loss_sum = self.teacher_loss_sum = 0.0


def save_checkpoint(folder: Path, progress: Progress, tensors: dict[str, Tensor]) -> None:
    """Write tensors and progress as one file; the previous checkpoint stays until the new one is complete."""
    folder.mkdir(parents=True, exist_ok=True)
    fault_point("checkpoint.begin")
    body = storable(tensors)
    told = json.dumps(asdict(progress))
    write_bytes(folder / _FILE, save(body, metadata={"progress": told, "sha256": _sha256(told, body)}))
    fault_point("checkpoint.done")


def load_checkpoint(folder: Path) -> tuple[Progress, dict[str, Tensor]] | None:
    """Return what :func:`save_checkpoint` wrote, or None if there is nothing, or nothing whole."""
    try:
        with safe_open(folder / _FILE, framework="pt") as file:
            metadata = file.metadata()
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        stored: dict[str, Any] = json.loads(metadata["progress"])
        if metadata["sha256"] != _sha256(metadata["progress"], tensors):
            return None
        history = [EpochRecord(**record) for record in stored.pop("history")]
        return Progress(**stored, history=history), tensors
    except (FileNotFoundError, SafetensorError, TypeError, KeyError, ValueError):
        return None


def _sha256(told: str, tensors: dict[str, Tensor]) -> str:
    return hashlib.sha256(told.encode() + save(tensors)).hexdigest()


def module_tensors(name: str, module: nn.Module) -> dict[str, Tensor]:
    """Return the state of a module as tensors named ``name.key``."""
    return {f"{name}.{key}": value for key, value in module.state_dict().items()}


def load_module(name: str, module: nn.Module, tensors: dict[str, Tensor]) -> None:
    """Put back what :func:`module_tensors` took; nothing if there is nothing."""
    stored = _named(name, tensors)
    if stored:
        module.load_state_dict(stored)


def optimizer_tensors(name: str, optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """Return the state of an optimizer as tensors named ``name.index.key``."""
    state = optimizer.state_dict()["state"]
    return {
        f"{name}.{index}.{key}": value
        for index, values in state.items()
        for key, value in values.items()
        if isinstance(value, Tensor)
    }


def restore_optimizer(name: str, optimizer: torch.optim.Optimizer, tensors: dict[str, Tensor]) -> None:
    """Put back what :func:`optimizer_tensors` took."""
    state: dict[int, dict[str, Tensor]] = {}
    for place, value in _named(name, tensors).items():
        index, _, key = place.partition(".")
        state.setdefault(int(index), {})[key] = value
    optimizer.load_state_dict({**optimizer.state_dict(), "state": state})


def _named(name: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    prefix = f"{name}."
    return {key.removeprefix(prefix): value for key, value in tensors.items() if key.startswith(prefix)}
