"""An engine in a process of its own, forked from one that has the runtime imported but nothing open."""

from __future__ import annotations

import os
import signal
import struct
import sys
from typing import TYPE_CHECKING, NoReturn

import numpy as np

from edgekd.board.memory import peak_bytes, resident_bytes
from edgekd.board.visits import InProcess, Visited

if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import IO

    from numpy.typing import NDArray

    from edgekd.board.visits import Opener

_REQUEST = struct.Struct("<cd")  # what to do, and its one number
_REPLY = struct.Struct("<cq")  # values or an error, and how many bytes follow
_OPEN, _WARM_UP, _TIME, _PEAK = b"o", b"w", b"t", b"p"
_VALUES, _ERROR = b"v", b"e"
_SMALL_PADDING, _LARGE_PADDING = 1 << 16, 1 << 22


class EngineFailed(Exception):  # noqa: N818  the words are the engine's
    """What went wrong in an engine's process."""


class EngineProcess(Visited):
    """An engine in a child process; the process ends with it.

    Args:
        name: How errors call it.
        opener: Opens it.
        rng: Says how much other memory the process begins with.
        cores: Cores that it may use; empty leaves it to the system.
    """

    def __init__(self, name: str, opener: Opener, rng: np.random.Generator, cores: Iterable[int]) -> None:
        self._name, self._opener, self._cores = name, opener, frozenset(cores)
        self._padding = [int(rng.integers(_SMALL_PADDING)), int(rng.integers(_LARGE_PADDING))]

    def __enter__(self) -> EngineProcess:
        child_reads, parent_writes = os.pipe()
        parent_reads, child_writes = os.pipe()
        self._pid = os.fork()
        if self._pid == 0:
            os.close(parent_writes)
            os.close(parent_reads)
            self._serve(os.fdopen(child_reads, "rb"), os.fdopen(child_writes, "wb"))
        os.close(child_reads)
        os.close(child_writes)
        self._requests, self._replies = os.fdopen(parent_writes, "wb"), os.fdopen(parent_reads, "rb")
        try:
            (self.opened_ms,) = self._ask(_OPEN)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        os.kill(self._pid, signal.SIGKILL)
        os.waitpid(self._pid, 0)
        self._requests.close()
        self._replies.close()

    def warm_up(self, at_least_ms: float) -> NDArray[np.float64]:
        """Run until it gets no faster; return the milliseconds of each inference."""
        return self._ask(_WARM_UP, at_least_ms)

    def times_ms(self, repeats: int) -> NDArray[np.float64]:
        """Run once untimed, then ``repeats`` times; return the milliseconds of each."""
        return self._ask(_TIME, repeats)

    def peak_bytes(self) -> int:
        """Return by how much the process has grown at most since it was forked."""
        return int(self._ask(_PEAK)[0])

    def _ask(self, what: bytes, value: float = 0.0) -> NDArray[np.float64]:
        try:
            self._requests.write(_REQUEST.pack(what, value))
            self._requests.flush()
            kind, size = _REPLY.unpack(self._replies.read(_REPLY.size))
            payload = self._replies.read(size)
        except (OSError, struct.error) as e:
            msg = f"{self._name}: its process died: killed, or out of memory"
            raise EngineFailed(msg) from e
        if kind == _ERROR:
            msg = f"{self._name}: {payload.decode(errors='replace')}"
            raise EngineFailed(msg)
        return np.frombuffer(payload, np.float64)

    def _serve(self, requests: IO[bytes], replies: IO[bytes]) -> NoReturn:
        """Be the child: answer until the parent goes away."""
        _close_all_but(requests, replies)
        try:
            if self._cores and hasattr(os, "sched_setaffinity"):
                os.sched_setaffinity(0, self._cores)
            padding = [np.ones(size, np.uint8) for size in self._padding]
            engine, before = InProcess(self._opener), resident_bytes()
            while True:
                request = requests.read(_REQUEST.size)
                if not request:
                    break
                what, value = _REQUEST.unpack(request)
                _reply(replies, *_answer(engine, what, value, before))
            del padding
        except BrokenPipeError:
            pass
        finally:
            sys.stderr.flush()
            os._exit(0)  # nothing of the parent's may run at exit


def _close_all_but(*streams: IO[bytes]) -> None:
    """Close what other engines' processes would wait on: each has to see its parent go away."""
    kept = sorted([2, *(stream.fileno() for stream in streams), 1024])
    for below, above in zip(kept, kept[1:]):
        os.closerange(below + 1, above)


def _answer(engine: InProcess, what: bytes, value: float, before: int) -> tuple[bytes, bytes]:
    try:
        if what == _OPEN:
            values = np.array([engine.__enter__().opened_ms])
        elif what == _WARM_UP:
            values = engine.warm_up(value)
        elif what == _TIME:
            values = engine.times_ms(int(value))
        else:
            values = np.array([float(max(0, peak_bytes() - before))])
    except Exception as e:
        return _ERROR, " ".join(str(e).split()).encode()
    return _VALUES, values.astype(np.float64).tobytes()


def _reply(replies: IO[bytes], kind: bytes, payload: bytes) -> None:
    replies.write(_REPLY.pack(kind, len(payload)) + payload)
    replies.flush()
