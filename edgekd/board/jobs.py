"""What a runner does with models: open, run, measure. Needs numpy and ONNX Runtime."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING, Any

from edgekd.board.arrays import pack, unpack
from edgekd.board.frames import read_frame
from edgekd.board.sessions import open_session, run_all, runtime_version, saturates_byte_products

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


def _runtime(runner: Runner, header: dict[str, Any], blobs: dict[str, bytes]) -> Reply:
    return {"version": runtime_version(), "saturates": saturates_byte_products()}, {}


def _open(runner: Runner, header: dict[str, Any], blobs: dict[str, bytes]) -> Reply:
    """Open a file that was put; ``optimized`` returns the graph that runs, ``profile`` prepares for one."""
    optimized = runner.folder / "optimized.onnx" if header["optimized"] else None
    session = open_session(
        str(runner.path(header["model"])),
        threads=int(header["threads"]),
        optimize=bool(header["optimize"]),
        optimized_path=optimized,
        profile_prefix=runner.folder / "profile" if header["profile"] else None,
    )
    runner.sessions[header["session"]] = session
    tensors = {
        kind: [[found.name, found.type, _sizes(found.shape)] for found in values]
        for kind, values in (("inputs", session.get_inputs()), ("outputs", session.get_outputs()))
    }
    if optimized is None:
        return tensors, {}
    graph = optimized.read_bytes()
    optimized.unlink()
    return tensors, {"optimized": graph}


def _run(runner: Runner, header: dict[str, Any], blobs: dict[str, bytes]) -> Reply:
    return {}, {"outputs": pack(run_all(runner.sessions[header["session"]], unpack(blobs["feeds"])))}


def _close(runner: Runner, header: dict[str, Any], blobs: dict[str, bytes]) -> Reply:
    """Close a session; one that was opened with ``profile`` returns what the runtime wrote."""
    session = runner.sessions.pop(header["session"])
    if not header["profile"]:
        return {}, {}
    path = runner.folder / session.end_profiling()
    profile = path.read_bytes()
    path.unlink()
    return {}, {"profile": profile}


def _measure(runner: Runner, header: dict[str, Any], blobs: dict[str, bytes]) -> Reply:
    """Measure in a process that has nothing else in it: it forks one for each engine."""
    for model in header["engines"].values():
        runner.path(model)  # refuses what is no digest
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


def _sizes(shape: list[Any]) -> list[int | None]:
    return [size if isinstance(size, int) else None for size in shape]


_JOBS = {
    "runtime": _runtime,
    "open": _open,
    "run": _run,
    "close": _close,
    "measure": _measure,
}
