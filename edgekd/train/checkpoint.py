"""Checkpoints of a training run: one safetensors file, written atomically, nothing to unpickle."""

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from edgekd.core.atomic import write_bytes
from edgekd.core.faults import fault_point

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
    """

    phase: str
    epoch: int
    loss: float
    metric: float | None
    lr: float
    seconds: float
    compiled: bool


@dataclass
class Progress:
    """Where a run stands.

    Attributes:
        phase: Index of the phase that runs.
        epoch: Epochs of it that are done.
        compiled: Whether the phase was compiled; a resumed run keeps the decision, since compiled and eager
            steps are not bit-identical.
        history: One record per epoch of all phases.
    """

    phase: int = 0
    epoch: int = 0
    compiled: bool = False
    history: list[EpochRecord] = field(default_factory=list)


def save_checkpoint(folder: Path, progress: Progress, tensors: dict[str, Tensor]) -> None:
    """Write tensors and progress as one file; the previous checkpoint stays until the new one is complete."""
    folder.mkdir(exist_ok=True)
    fault_point("checkpoint.begin")
    body = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    write_bytes(folder / _FILE, save(body, metadata={"progress": json.dumps(asdict(progress))}))
    fault_point("checkpoint.done")


def load_checkpoint(folder: Path) -> tuple[Progress, dict[str, Tensor]] | None:
    """Return what :func:`save_checkpoint` wrote, or None if there is nothing, or nothing readable."""
    try:
        with safe_open(folder / _FILE, framework="pt") as file:
            stored: dict[str, Any] = json.loads(file.metadata()["progress"])
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        history = [EpochRecord(**record) for record in stored.pop("history")]
        return Progress(**stored, history=history), tensors
    except (FileNotFoundError, SafetensorError, TypeError, KeyError, ValueError):
        return None


def optimizer_tensors(optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """Return the optimizer's state as named tensors."""
    state = optimizer.state_dict()["state"]
    return {
        f"optimizer.{index}.{name}": value
        for index, values in state.items()
        for name, value in values.items()
        if isinstance(value, Tensor)
    }


def restore_optimizer(optimizer: torch.optim.Optimizer, tensors: dict[str, Tensor]) -> None:
    """Put back what :func:`optimizer_tensors` took."""
    state: dict[int, dict[str, Tensor]] = {}
    for name, value in tensors.items():
        if name.startswith("optimizer."):
            _, index, key = name.split(".", 2)
            state.setdefault(int(index), {})[key] = value
    optimizer.load_state_dict({**optimizer.state_dict(), "state": state})
