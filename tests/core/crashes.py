"""A small pipeline that is killed at every passage of every fault point and run again.

Prints one JSON line per kill, and a first one of a run without any.

``python crashes.py FOLDER``. Every run is a process of its own, forked after the imports.
"""

import json
import os
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from itertools import count
from pathlib import Path
from typing import Any

import torch

from edgekd.core.artifact import Artifact, stage
from edgekd.core.atomic import file_sha256, write_files, write_json
from edgekd.core.entry import DamagedEntryError, FileHashes, read_entry
from edgekd.core.faults import FAULT_POINTS
from edgekd.core.store import Store
from edgekd.train.checkpoint import Progress, load_checkpoint, save_checkpoint

EPOCHS = 3


def _log(folder: Path, line: str) -> None:
    with (folder.parents[2] / "log").open("a") as file:
        file.write(f"{line}\n")


@stage(Artifact, version=1)
def prepare(folder: Path) -> None:
    _log(folder, "prepare")
    write_json(folder / "data.json", [1, 2, 3])


@stage(Artifact, version=1)
def train(folder: Path, data: Artifact) -> None:
    _log(folder, "train")
    found = load_checkpoint(folder / "scratch")
    progress, tensors = found if found else (Progress(), {"w": torch.zeros(3)})
    for epoch in range(progress.epoch, EPOCHS):
        tensors = {"w": tensors["w"] * 0.5 + torch.tensor(data.read_json("data.json"))}
        save_checkpoint(folder / "scratch", Progress(epoch=epoch + 1), tensors)
        _log(folder, f"epoch{epoch}")
    write_json(folder / "weights.json", tensors["w"].tolist())
    (folder / "more").mkdir()
    (folder / "more" / "notes.txt").write_text("trained")


@stage(Artifact, version=1)
def unused(folder: Path) -> None:
    (folder / "old.bin").write_bytes(bytes(100))


def _pipeline(root: Path) -> None:
    store = Store(root / "store", pipeline="toy")
    trained = store.run(train, store.run(prepare))
    store.finish()
    weights = trained.path("weights.json").read_bytes()
    (root / "runs").mkdir(exist_ok=True)
    write_files({root / "runs" / "weights.json": weights, root / "runs" / "report.json": weights})
    store.collect_garbage()


def _in_a_process(work: Callable[[], None], fault: str = "") -> int:
    """Return the exit code, negative for a signal."""
    child = os.fork()
    if child:
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    os.environ["EDGEKD_FAULT"] = fault
    work()
    os._exit(0)


def _template(root: Path) -> None:
    """Make a store with a damaged entry and one that no pipeline uses."""
    store = Store(root / "store")
    store.run(unused)
    damaged = store.run(prepare).path("data.json")
    damaged.chmod(0o644)
    damaged.write_text("[]")


def _whole_entries(root: Path) -> list[str]:
    """Return the stages whose entries are what was committed, of all that have one."""
    whole = []
    for folder in root.glob("store/entries/*/*"):
        with suppress(DamagedEntryError):
            whole.append(read_entry(folder, FileHashes()).stage)
    return sorted(whole)


def _crash(root: Path, fault: str) -> dict[str, Any]:
    """Run with a fault, then without; say what the second run did and what is there at the end."""
    killed = _in_a_process(lambda: _pipeline(root), fault)
    finished = _whole_entries(root)
    entries = len(list(root.glob("store/entries/*/*")))
    (root / "log").unlink(missing_ok=True)
    again = _in_a_process(lambda: _pipeline(root))
    files = sorted(str(path.relative_to(root)) for path in root.rglob("*") if path.is_file())
    return {
        "fault": fault,
        "exit_codes": [killed, again],
        "damaged_entries": entries - len(finished),
        "finished": finished,
        "ran_again": (root / "log").read_text().split() if (root / "log").exists() else [],
        "results": [file_sha256(root / "runs" / name) for name in ("weights.json", "report.json")],
        "entries": _whole_entries(root),
        "other_files": [name for name in files if not name.startswith(("log", "runs", "store/entries"))],
        "runs": [name for name in files if name.startswith("runs")],
        "folders_of_work": [path.name for path in (root / "store" / "work").iterdir()],
    }


def _every_passage(folder: Path) -> Iterator[dict[str, Any]]:
    yield _crash(_copy(folder), "")
    for name in FAULT_POINTS:
        for passage in count(1):
            line = _crash(_copy(folder), f"{name}:{passage}")
            if line["exit_codes"][0] == 0:  # there are no more passages
                break
            yield line


def _copy(folder: Path) -> Path:
    root = folder / "run"
    shutil.rmtree(root, ignore_errors=True)
    shutil.copytree(folder / "template", root)
    return root


if __name__ == "__main__":
    torch.set_num_threads(1)
    place = Path(sys.argv[1])
    _in_a_process(lambda: _template(place / "template"))
    (place / "template" / "log").unlink()
    for line in _every_passage(place):
        print(json.dumps(line), flush=True)
