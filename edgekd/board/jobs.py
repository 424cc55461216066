"""What a runner does with models: build, open, run, measure. Needs numpy and a runtime."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
from typing import TYPE_CHECKING, Any

from edgekd.board.arrays import pack, unpack
from edgekd.board.frames import read_frame
from edgekd.board.runtime import How, runtime_called

if TYPE_CHECKING:
    from collections.abc import Callable

    from edgekd.board.serve import Runner

    Reply = tuple[dict[str, Any], dict[str, bytes]]


def do(runner: Runner, header: dict[str, Any], blobs: dict[str, bytes]) -> Reply:
    """Do one job.

    Raises:
        ValueError: If there is no such job.
    """
    found: Callable[..., Reply] | None = _JOBS.get(str(header.get("do")))
    if found is None:
        msg = "no such job: host and runner are of different versions"
        raise ValueError(msg)
    return found(runner, header, blobs)


def _facts(runner: Runner, header: dict[str, Any], blobs: dict[str, bytes]) -> Reply:
    return runtime_called(header["runtime"]).facts(), {}


def _open(runner: Runner, header: dict[str, Any], blobs: dict[str, bytes]) -> Reply:
    """Open a file that was put; with ``shown`` the graph that runs comes back."""
    scratch = runner.scratch[header["session"]] = tempfile.mkdtemp(dir=str(runner.folder))
    how = How(**header["how"], scratch=scratch)
    try:
        opened = runtime_called(header["runtime"]).open(str(runner.path(header["model"])), how)
    except BaseException:
        shutil.rmtree(runner.scratch.pop(header["session"]), ignore_errors=True)
        raise
    runner.sessions[header["session"]] = opened
    tensors = {"inputs": opened.inputs, "outputs": opened.outputs}
    return tensors, {"shown": opened.shown()} if how.shown else {}


def _run(runner: Runner, header: dict[str, Any], blobs: dict[str, bytes]) -> Reply:
    return {}, {"outputs": pack(runner.sessions[header["session"]].run(unpack(blobs["feeds"])))}


def _times(runner: Runner, header: dict[str, Any], blobs: dict[str, bytes]) -> Reply:
    return {"times": runner.sessions[header["session"]].times()}, {}


def _close(runner: Runner, header: dict[str, Any], blobs: dict[str, bytes]) -> Reply:
    runner.sessions.pop(header["session"]).close()
    shutil.rmtree(runner.scratch.pop(header["session"]), ignore_errors=True)
    return {}, {}


def _build(runner: Runner, header: dict[str, Any], blobs: dict[str, bytes]) -> Reply:
    """Build an engine from a file that was put."""
    runtime, model = runtime_called(header["runtime"]), str(runner.path(header["model"]))
    engine, log, cache = runtime.build(model, header["options"], blobs["cache"])
    return {"log": log}, {"engine": engine, "cache": cache}


def _measure(runner: Runner, header: dict[str, Any], blobs: dict[str, bytes]) -> Reply:
    """Measure in a process that has nothing else in it: it forks one for each engine."""
    for engine in header["engines"].values():
        runner.path(engine["model"])  # refuses what is no digest
    (runner.folder / "job.json").write_text(json.dumps(header))
    (runner.folder / "example.npz").write_bytes(blobs["example"])
    command = [sys.executable, sys.argv[0], "measure", str(runner.folder)]
    with (runner.folder / "said.txt").open("w+b") as said:
        runner.measuring = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=said, start_new_session=True
        )
        frame = read_frame(runner.measuring.stdout)
        while frame is not None and "progress" in frame[0]:
            runner.progress(*frame[0]["progress"])
            frame = read_frame(runner.measuring.stdout)
        code = runner.measuring.wait()
        said.seek(0)
        last = said.read()[-1000:].decode(errors="replace")
    if frame is None:
        msg = f"the process that measures died with {code}: {last}"
        raise RuntimeError(msg)
    found, out = frame
    if "failed" in found:
        raise RuntimeError(found["what"])
    return found["done"], out


_JOBS = {
    "facts": _facts,
    "open": _open,
    "run": _run,
    "times": _times,
    "close": _close,
    "build": _build,
    "measure": _measure,
}
