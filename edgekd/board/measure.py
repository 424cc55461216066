"""The process that measures latency for a runner: it imports a runtime, opens nothing, and forks."""

from __future__ import annotations

import json
import os
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any, NoReturn

from edgekd.board.arrays import pack, unpack
from edgekd.board.fingerprint import conditions, quiet_cores
from edgekd.board.frames import write_frame
from edgekd.board.lock import machine_lock
from edgekd.board.rounds import Design, measure_interleaved
from edgekd.board.runtime import How, runtime_called

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from edgekd.board.runtime import Runtime
    from edgekd.board.visits import Run


def main(folder: Path) -> NoReturn:
    """Measure what ``job.json`` in ``folder`` asks for and write the result to standard output."""
    out = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    job = json.loads((folder / "job.json").read_text())
    try:
        write_frame(
            out, *_measure(folder, job, lambda done, total: write_frame(out, {"progress": [done, total]}))
        )
    except Exception as e:
        write_frame(out, {"failed": type(e).__name__, "what": " ".join(str(e).split())[:2000]})
    out.flush()
    os._exit(0)


def _measure(folder: Path, job: dict[str, Any], progress: Any) -> tuple[dict[str, Any], dict[str, bytes]]:
    inputs = unpack((folder / "example.npz").read_bytes())
    runtimes = {engine["runtime"]: runtime_called(engine["runtime"]) for engine in job["engines"].values()}
    for runtime in runtimes.values():
        runtime.facts()  # looks now at what opening an engine would otherwise look at while it is timed
    engines = {
        name: partial(
            opened_for_timing, runtimes[engine["runtime"]], str(folder / engine["model"]), how, feeds
        )
        for name, engine, how, feeds in (
            (name, engine, How(threads=int(engine["threads"])), _feeds(inputs, index))
            for index, (name, engine) in enumerate(job["engines"].items())
        )
    }
    threads = max(int(engine["threads"]) for engine in job["engines"].values())
    with machine_lock(wait_s=float(job["wait_s"]), on_wait=lambda: progress(0, 0)):
        before, cores = conditions(), quiet_cores(threads)
        found = measure_interleaved(
            engines, design=Design(**job["design"]), seed=int(job["seed"]), cores=cores, on_round=progress
        )
        after = conditions()
    figures = {
        name: {"warmup": one.warmup, "opened_ms": one.opened_ms, "peak_bytes": one.peak_bytes}
        for name, one in found.items()
    }
    times = {
        f"{index}/{session}": rounds
        for index, one in enumerate(found.values())
        for session, rounds in enumerate(one.rounds_ms)
    }
    result = {"engines": figures, "before": before, "after": after, "cores": cores}
    return {"done": result}, {"times_ms": pack(times)}


def _feeds(inputs: dict[str, Any], index: int) -> dict[str, Any]:
    """Return those of one engine, which are named ``INDEX/NAME``."""
    named = [(key.partition("/"), value) for key, value in inputs.items()]
    return {name: value for (of, _, name), value in named if of == str(index)}


@contextmanager
def opened_for_timing(runtime: Runtime, model: str, how: How, feeds: dict[str, Any]) -> Iterator[Run]:
    """Open a model and give one inference of these feeds, to be timed."""
    opened = runtime.open(model, how)
    try:
        yield opened.prepare(feeds)
    finally:
        opened.close()
