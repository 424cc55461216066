"""A first run of a foreign model in a process of its own: what kills that process is a message here.

A file may crash the runtime's native code, fill the memory or never end. So it is looked into once elsewhere,
with random inputs, before this process opens it.
"""

import contextlib
import json
import multiprocessing
import os
import resource
import signal
from collections.abc import Sequence
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from edgekd import errors
from edgekd.core.machine import memory_bytes
from edgekd.errors import BuildError, EdgeKdError
from edgekd.runtimes.onnx_runtime_target import OnnxRuntimeTarget
from edgekd.runtimes.random_inputs import TRIED, FreeSizes, different_feeds
from edgekd.runtimes.session import Tensors
from edgekd.runtimes.target import TargetSpec

TIME_LIMIT_S = 300


def try_model(
    path: Path,
    *,
    target: TargetSpec | None = None,
    tried: Sequence[FreeSizes] = TRIED,
    inside: bool = True,
    time_limit_s: float = TIME_LIMIT_S,
) -> FreeSizes:
    """Load, run and look inside a model once in a process of its own.

    Args:
        path: An ONNX file.
        target: A runtime that reads it; by default ONNX Runtime with one thread.
        tried: Sizes of free dimensions, in this order, until it runs.
        inside: False to load and run it only.
        time_limit_s: When to give up.

    Returns:
        The sizes of free dimensions that it ran with.

    Raises:
        BuildError: If the runtime refuses it, crashes, needs too much memory, or is not done in time.
        DataError: If it takes what cannot be made up.
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__])
    ours, theirs = context.Pipe(duplex=False)
    asked = (path, target or OnnxRuntimeTarget(), tried, inside, time_limit_s)
    process = context.Process(target=_try, args=(theirs, *asked), daemon=True)
    process.start()
    theirs.close()
    try:
        if not ours.poll(time_limit_s):
            what = f"the model is not done after {time_limit_s:g} s, with one set of random inputs"
            raise BuildError(what, where=str(path), fix="give a smaller model")
        return _answer(ours, path)
    except EOFError as e:
        process.join()
        raise BuildError(_death(process.exitcode), where=str(path), fix=_DEATH_FIX) from e
    finally:
        process.kill()
        process.join()
        ours.close()


_DEATH_FIX = "do not open it elsewhere unless you trust it; export it again, or report it to the runtime"


def _answer(ours: Connection, path: Path) -> FreeSizes:
    answer = json.loads(ours.recv_bytes())
    if "error" in answer:
        kind: type[EdgeKdError] = getattr(errors, answer["error"])
        raise kind(answer["what"], where=answer["where"] or str(path), fix=answer["fix"])
    return FreeSizes(*answer["sizes"])


def _death(exit_code: int | None) -> str:
    if exit_code is not None and exit_code < 0:
        name = signal.Signals(-exit_code).name
        return f"the model kills the process that runs it ({name}): it is damaged, hostile or too large"
    return f"the model ends the process that runs it (exit code {exit_code}): it is damaged or hostile"


def _try(
    answer_to: Connection,
    path: Path,
    target: TargetSpec,
    tried: Sequence[FreeSizes],
    inside: bool,
    time_limit_s: float,
) -> None:
    """Run in the new process; answer with the sizes, or with an error's fields."""
    _limit(time_limit_s)
    try:
        answer: dict[str, Any] = {"sizes": _first_that_runs(path, target, tried, inside=inside)}
    except EdgeKdError as e:
        answer = {"error": type(e).__name__, "what": e.what, "where": e.where, "fix": e.fix}
    except MemoryError:
        what = "the model needs more memory than this machine has"
        answer = {"error": "BuildError", "what": what, "where": "", "fix": "give a smaller model"}
    answer_to.send_bytes(json.dumps(answer).encode())


def _limit(time_limit_s: float) -> None:
    """Bound memory and time, and keep the runtime's own complaints off the terminal."""
    used = 0
    with contextlib.suppress(OSError):
        used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + memory_bytes(),) * 2)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    silence = os.open(os.devnull, os.O_WRONLY)
    os.dup2(silence, 1)
    os.dup2(silence, 2)
    signal.alarm(int(time_limit_s) + 10)  # if whoever waits was killed


def _first_that_runs(
    path: Path, target: TargetSpec, tried: Sequence[FreeSizes], *, inside: bool
) -> FreeSizes:
    with target.open(path) as session:
        inputs = session.inputs
    first_refusal = None
    for sizes, feeds in different_feeds(inputs, tried, where=str(path)):
        try:
            if inside:
                target.look_inside(path, feeds)
            else:
                _run(target, path, feeds)
        except BuildError as e:
            first_refusal = first_refusal or e
        else:
            return sizes
    assert first_refusal is not None
    raise first_refusal


def _run(target: TargetSpec, path: Path, feeds: Tensors) -> None:
    with target.open(path) as session:
        session.run(feeds)
