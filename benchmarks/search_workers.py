"""Two workers that share the trials of a search, one of which is killed half way, beside one worker alone.

    EDGEKD_STUDY=postgresql://USER@HOST/DATABASE python -m benchmarks.search_workers --rounds 3

Each worker has one thread. The search is on the digits; teacher and latency table are in the store before the
clock starts, and every round begins with an empty study. The database must hold no other study.
"""

import argparse
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import yaml

from benchmarks.rows import append_row
from edgekd.search.study import NETWORK, optuna_package, reach

TRIALS = 8
SPEC: dict[str, Any] = {
    "version": 1,
    "name": "shared",
    "data": {"kind": "digits", "image_size": 16},
    "teacher": {
        "network": {"kind": "resnet_cifar", "depth": 20},
        "training": {"epochs": 2, "learning_rate": 0.05},
    },
    "student": {
        "kind": "search",
        "space": {"kind": "resnet", "blocks": [2, 3], "widths": [1.0]},  # 8 networks: all are tried
        "limits": {"max_macs": 100_000_000},
        "least_use": 0,
        "training": {"epochs": 15, "learning_rate": 0.05},
        "trials": TRIALS,
        "rungs": [15],
        "sampler": "random",
        "checked": 0,
        "storage": "$EDGEKD_STUDY",
    },
    "training": {"batch_size": 64},
    "quantize": {"profile": "ort", "calibration": {"samples": 64, "methods": ["minmax"]}},
    "distill": {"kind": "hinton", "schedule": {"epochs": 1, "learning_rate": 0.005}},
}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=3, help="of both, one after the other")
    rounds = parser.parse_args().rounds
    with TemporaryDirectory(prefix="edgekd-") as scratch:
        file, ready = Path(scratch) / "shared.yaml", Path(scratch) / "ready"
        file.write_text(yaml.safe_dump(SPEC))
        _make_ready(file, ready)
        found: dict[str, list[dict[str, Any]]] = {"alone": [], "one of two killed": []}
        for number in range(rounds):
            for name, results in found.items():
                store = Path(scratch) / f"{number}{len(name)}"
                shutil.copytree(ready, store)
                results.append(_round(file, store, shared=name != "alone"))
    walls = {name: [one["wall_seconds"] for one in results] for name, results in found.items()}
    ratios = [b / a for a, b in zip(*walls.values(), strict=True)]
    append_row(
        "search_workers",
        {
            "trials": TRIALS,
            "threads": 1,
            "rounds": found,
            "killed_over_alone": [round(ratio, 3) for ratio in ratios],
        },
    )


def _make_ready(file: Path, store: Path) -> None:
    """Make the teacher and time all parts."""
    worker = _worker(file, store)
    said = worker.communicate()[1]
    assert worker.returncode == 0, said
    shutil.rmtree(store / "entries" / "train_candidate")
    _forget_studies()


def _round(file: Path, store: Path, *, shared: bool) -> dict[str, Any]:
    start = time.perf_counter()
    leading = _worker(file, store)
    if shared:
        _kill_half_way(_worker(file, store))
    said = leading.communicate()[1]
    wall_s = time.perf_counter() - start
    assert leading.returncode == 0, said
    study = _studies()[0]
    counted = [trial for trial in study.trials if NETWORK in trial.user_attrs]
    finished = [trial for trial in counted if trial.state.name == "COMPLETE"]
    lost = sum(trial.state.name == "FAIL" for trial in study.trials)
    assert lost == int(shared), "no trial was under way when the worker was killed: run it again"
    _forget_studies()
    return {
        "wall_seconds": round(wall_s, 1),
        "finished": len(finished),
        "networks": len({trial.user_attrs[NETWORK] for trial in finished}),
        "lost": lost,
    }


def _kill_half_way(worker: "subprocess.Popen[str]") -> None:
    """Kill a worker once half of the trials are finished, by whichever: then it is in the next one."""
    assert worker.stderr is not None
    for line in worker.stderr:
        if line.startswith("search ") and int(line.split()[1].split("/")[0]) >= TRIALS // 2:
            time.sleep(1)
            worker.send_signal(signal.SIGKILL)
            break
    worker.wait()


def _worker(file: Path, store: Path) -> "subprocess.Popen[str]":
    command = [sys.executable, "-m", "edgekd", "search", str(file), "--worker", "--store", str(store)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True)


def _studies() -> list[Any]:
    storage = reach(os.environ["EDGEKD_STUDY"])
    names = optuna_package().get_all_study_names(storage)
    return [optuna_package().load_study(study_name=name, storage=storage) for name in names]


def _forget_studies() -> None:
    storage = reach(os.environ["EDGEKD_STUDY"])
    for study in _studies():
        optuna_package().delete_study(study_name=study.study_name, storage=storage)


if __name__ == "__main__":
    main()
