"""What kills cost: ``edgekd compress tests/specs/tiny.yaml``, killed again and again until it is done.

Every fault point of ``edgekd.core.faults`` kills once; the other kills come at random moments. A run that
was killed is started again, with the next kill, until one reaches its end; then a new one begins with an
empty store. After each kill, every entry of the store has to be whole and still there; at each end, weights
and figures have to be those of a run that nobody killed, and nothing else may be left. Each run is a process
of its own, forked after the imports, on one thread. Latency is not compared.
"""

import argparse
import json
import os
import random
import signal
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

import edgekd.pipeline
from benchmarks.rows import ROOT, append_row
from edgekd.cli.main import main as edgekd_main
from edgekd.core.atomic import file_sha256
from edgekd.core.entry import DamagedEntryError, FileHashes, read_entry
from edgekd.core.faults import FAULT_POINTS
from edgekd.report.schema import Report

SPEC = ROOT / "tests" / "specs" / "tiny.yaml"
ENGINE = "model.onnxruntime.onnx"
MEASURED = {
    *("created", "stages", "seconds", "latency_ms", "times_ms", "baselines", "conditions"),
    *("nodes", "integer_time_share", "border_time_share"),
}
"""Fields of a report that no two runs share."""
OF_COMPRESS = tuple(name for name in FAULT_POINTS if name.partition(".")[0] not in ("aside", "collect"))
WORDS = {"compress": ("compress", str(SPEC), "--json"), "collect": ("store", "gc")}


@dataclass
class Tally:
    """What went wrong, over all kills."""

    fault_kills: int = 0
    random_kills: int = 0
    completed_runs: int = 0
    half_written_entries: int = 0
    lost_entries: int = 0
    stages_run_again: int = 0
    other_results: int = 0
    leftovers: int = 0
    points: set[str] = field(default_factory=set)


@dataclass
class Place:
    """A store and a folder of runs, and the entries that were there after the last kill."""

    root: Path
    entries: dict[str, int] = field(default_factory=dict)

    def live(self, verb: str, *, fault: str = "", seconds: float | None = None) -> int:
        """Run a verb in a process of its own until it ends or is killed; return its exit code."""
        child = os.fork()
        if not child:
            self._become(verb, fault)
        deadline = None if seconds is None else time.monotonic() + seconds
        while True:
            done, status = os.waitpid(child, os.WNOHANG)
            if done:
                return os.waitstatus_to_exitcode(status)
            if deadline is not None and time.monotonic() >= deadline:
                os.kill(child, signal.SIGKILL)
                deadline = None
            time.sleep(0.005)

    def _become(self, verb: str, fault: str) -> None:
        output = os.open(self.root.with_suffix(".log"), os.O_CREAT | os.O_WRONLY | os.O_APPEND)
        os.dup2(output, 1)
        os.dup2(output, 2)
        os.environ.update(EDGEKD_FAULT=fault, EDGEKD_STORE=str(self.root / "store"))
        os.chdir(self.root)
        sys.argv = ["edgekd", *WORDS[verb]]
        try:
            edgekd_main()
        except SystemExit as stop:
            os._exit(int(stop.code or 0))

    def check(self, tally: Tally) -> None:
        """Count what a kill has done to the entries."""
        now: dict[str, int] = {}
        for folder in self.root.glob("store/entries/*/*"):
            now[f"{folder.parent.name}/{folder.name}"] = folder.stat().st_ino
            try:
                read_entry(folder, FileHashes())
            except DamagedEntryError:
                tally.half_written_entries += 1
        for name, inode in self.entries.items():
            tally.lost_entries += name not in now
            tally.stages_run_again += now.get(name, inode) != inode
        self.entries = now

    def result(self) -> dict[str, Any]:
        """Return weights and figures of a finished run."""
        runs = self.root / "runs" / "tiny"
        weights = {
            path.parts[-4]: file_sha256(path)
            for path in self.root.glob("store/entries/*/*/files/weights.safetensors")
        }
        report = Report.load(runs / "report.json").model_dump(mode="json")
        return {"engine": file_sha256(runs / ENGINE), "weights": weights, "report": _figures(report)}

    def differs(self, expected: dict[str, Any]) -> bool:
        """Whether a finished run came to another result; says where."""
        differences = list(_differences("", self.result(), expected))
        for difference in differences:
            print(difference, file=sys.stderr)
        return bool(differences)

    def leftovers(self) -> int:
        """Count interrupted work and temporary files."""
        work = list((self.root / "store" / "work").iterdir())
        temporary = [path for path in self.root.rglob("*.tmp") if path.is_file()]
        return len(work) + len(temporary)


def _figures(value: Any) -> Any:
    """Leave out what is measured in time."""
    if isinstance(value, dict):
        return {name: _figures(item) for name, item in value.items() if name not in MEASURED}
    if isinstance(value, list):
        return [_figures(item) for item in value]
    return value


def _differences(where: str, found: Any, expected: Any) -> Iterator[str]:
    if isinstance(found, dict) and isinstance(expected, dict) and found.keys() == expected.keys():
        for name in found:
            yield from _differences(f"{where}.{name}", found[name], expected[name])
    elif isinstance(found, list) and isinstance(expected, list) and len(found) == len(expected):
        for index, pair in enumerate(zip(found, expected, strict=True)):
            yield from _differences(f"{where}[{index}]", *pair)
    elif found != expected:
        yield f"{where}: {found} instead of {expected}"


def _kills(arguments: argparse.Namespace, whole_seconds: float) -> Iterator[dict[str, Any]]:
    """Yield each fault point once, then random moments; the mean pause lets a run get on."""
    yield from ({"fault": name} for name in OF_COMPRESS)
    chance = random.Random(arguments.seed)
    while True:
        yield {"seconds": chance.expovariate(1 / (whole_seconds * arguments.pause))}


def main() -> None:
    arguments = _arguments()
    torch.set_num_threads(1)
    started = time.monotonic()
    tally = Tally()
    with tempfile.TemporaryDirectory(dir=arguments.folder) as folder:
        reference = _place(Path(folder), "whole")
        before = time.monotonic()
        _must_end(reference.live("compress"), reference)
        whole_seconds = time.monotonic() - before
        expected = reference.result()
        _kill_until_done(arguments, Path(folder), whole_seconds, expected, tally)
        _kill_repairs(reference, tally, expected)
    figures = {
        "spec": str(SPEC.relative_to(ROOT)),
        "seed": arguments.seed,
        "whole_run_seconds": round(whole_seconds, 1),
        "seconds": round(time.monotonic() - started, 1),
        **{name: value for name, value in vars(tally).items() if name != "points"},
        "fault_points": len(tally.points),
    }
    if arguments.dry_run:
        print(json.dumps(figures))
    else:
        append_row("crash", figures)


def _kill_until_done(
    arguments: argparse.Namespace, folder: Path, whole_seconds: float, expected: dict[str, Any], tally: Tally
) -> None:
    place = _place(folder, "0")
    for kill in _kills(arguments, whole_seconds):
        last = tally.fault_kills + tally.random_kills >= arguments.kills
        code = place.live("compress", **({} if last else kill))
        if code == -signal.SIGKILL:
            tally.fault_kills += "fault" in kill
            tally.random_kills += "seconds" in kill
            tally.points |= {kill["fault"]} if "fault" in kill else set()
            place.check(tally)
            print(f"kill {tally.fault_kills + tally.random_kills}: {kill}", file=sys.stderr, flush=True)
            continue
        _must_end(code, place)
        place.check(tally)
        tally.completed_runs += 1
        tally.other_results += place.differs(expected)
        tally.leftovers += place.leftovers()
        if last:
            return
        place = _place(folder, str(tally.completed_runs))


def _kill_repairs(place: Place, tally: Tally, expected: dict[str, Any]) -> None:
    """Kill what sets a damaged entry aside and what collects garbage, on the store of a finished run."""
    (damaged,) = place.root.glob("store/entries/distill_student/*/files/weights.safetensors")
    damaged.chmod(0o644)
    damaged.write_bytes(b"damaged")
    for fault in ("aside.begin", "aside.renamed"):
        _must_be_killed(place.live("compress", fault=fault), fault, tally)
    _must_end(place.live("compress"), place)
    tally.other_results += place.differs(expected)
    for fault in ("collect.begin", "collect.renamed"):
        _must_be_killed(place.live("collect", fault=fault), fault, tally)
    _must_end(place.live("collect"), place)
    place.check(Tally())
    tally.leftovers += place.leftovers() + len(list(place.root.glob("store/corrupt/*")))


def _must_be_killed(code: int, fault: str, tally: Tally) -> None:
    if code != -signal.SIGKILL:
        sys.exit(f"exit code {code} instead of a kill at {fault}")
    tally.fault_kills += 1
    tally.points.add(fault)


def _must_end(code: int, place: Place) -> None:
    if code:
        sys.exit(f"exit code {code}:\n{place.root.with_suffix('.log').read_text()}")


def _place(folder: Path, name: str) -> Place:
    (folder / name).mkdir()
    return Place(folder / name)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--kills", type=int, default=100, help="kills of compress, fault points included")
    parser.add_argument("--seed", type=int, default=0, help="of the random moments")
    parser.add_argument("--pause", type=float, default=0.3, help="mean time to a random kill, in whole runs")
    parser.add_argument("--folder", type=Path, help="where to work; default the folder for temporary files")
    parser.add_argument("--dry-run", action="store_true", help="print the figures, append no row")
    return parser.parse_args()


if __name__ == "__main__":
    assert edgekd.pipeline  # imported here, once for all runs
    main()
