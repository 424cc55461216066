import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from edgekd.train.checkpoint import (
    EpochRecord,
    Progress,
    load_checkpoint,
    optimizer_tensors,
    restore_optimizer,
    save_checkpoint,
)

RECORD = EpochRecord("p", 1, 0.5, None, 0.1, 2.5, compiled=False)
PROGRESS = Progress(phase=1, epoch=2, compiled=True, history=[RECORD])
FILE = "checkpoint.safetensors"


def test_load_checkpoint_returns_what_was_saved(tmp_path: Path) -> None:
    tensors = {"a": torch.arange(6.0).reshape(2, 3).T, "b": torch.tensor(3), "c": torch.zeros(0)}
    save_checkpoint(tmp_path / "scratch", PROGRESS, tensors)
    found = load_checkpoint(tmp_path / "scratch")
    assert found is not None
    progress, loaded = found
    assert progress == PROGRESS
    assert {key: value.tolist() for key, value in loaded.items()} == {
        key: value.tolist() for key, value in tensors.items()
    }


def test_save_checkpoint_replaces_the_last_one_and_leaves_nothing_else(tmp_path: Path) -> None:
    for epoch in (1, 2):
        save_checkpoint(tmp_path, Progress(epoch=epoch), {"w": torch.full((2,), float(epoch))})
    found = load_checkpoint(tmp_path)
    assert found is not None
    assert (found[0].epoch, found[1]["w"].tolist()) == (2, [2.0, 2.0])
    assert [path.name for path in tmp_path.iterdir()] == [FILE]


def test_load_checkpoint_returns_none_when_there_is_none(tmp_path: Path) -> None:
    assert load_checkpoint(tmp_path) is None
    assert load_checkpoint(tmp_path / "nowhere") is None


@pytest.mark.parametrize("keep", [0, 4, 20, -1], ids=["empty", "in length", "in header", "in tensors"])
def test_load_checkpoint_ignores_a_cut_file(tmp_path: Path, keep: int) -> None:
    save_checkpoint(tmp_path, PROGRESS, {"w": torch.ones(8)})
    content = (tmp_path / FILE).read_bytes()
    (tmp_path / FILE).write_bytes(content[:keep])
    assert load_checkpoint(tmp_path) is None


@pytest.mark.parametrize("place", [-1, -20], ids=["last weight", "another weight"])
def test_load_checkpoint_ignores_a_flipped_bit(tmp_path: Path, place: int) -> None:
    save_checkpoint(tmp_path, PROGRESS, {"w": torch.ones(8)})
    content = bytearray((tmp_path / FILE).read_bytes())
    content[place] ^= 1
    (tmp_path / FILE).write_bytes(content)
    assert load_checkpoint(tmp_path) is None


def test_load_checkpoint_ignores_random_bytes(tmp_path: Path) -> None:
    (tmp_path / FILE).write_bytes(bytes(range(256)) * 8)
    assert load_checkpoint(tmp_path) is None


@pytest.mark.parametrize(
    "metadata",
    [
        None,
        {"other": "x"},
        {"progress": "{"},
        {"progress": "[]"},
        {"progress": json.dumps({"phase": 0})},
        {"progress": json.dumps({"phase": 0, "epoch": 1, "compiled": False, "history": [{"loss": 1}]})},
        {"progress": json.dumps({"phase": 0, "epoch": 1, "steps": 3, "history": []})},
    ],
    ids=["none", "other", "not json", "list", "no history", "other record", "other field"],
)
def test_load_checkpoint_ignores_files_of_another_kind(
    tmp_path: Path, metadata: dict[str, str] | None
) -> None:
    save_file({"w": torch.ones(2)}, tmp_path / FILE, metadata=metadata)
    assert load_checkpoint(tmp_path) is None


@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_restore_optimizer_puts_back_what_was_taken(momentum: float) -> None:
    def optimizer(network: nn.Module) -> torch.optim.Optimizer:
        return torch.optim.SGD(network.parameters(), lr=0.1, momentum=momentum)

    torch.manual_seed(0)
    network = nn.Linear(2, 2)
    twin = nn.Linear(2, 2)
    old = optimizer(network)
    network(torch.ones(1, 2)).sum().backward()
    old.step()
    twin.load_state_dict(network.state_dict())
    new = optimizer(twin)
    taken = {name: tensor.clone() for name, tensor in optimizer_tensors("optimizer", old).items()}
    restore_optimizer("optimizer", new, {"student.w": torch.ones(1), **taken})
    for net, optim in ((network, old), (twin, new)):
        optim.zero_grad()
        net(torch.ones(1, 2)).square().sum().backward()
        optim.step()
    assert torch.equal(network.weight, twin.weight)
    assert len(taken) == (2 if momentum else 0)
