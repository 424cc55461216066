"""A runner's process, here or behind another program such as ssh, and the frames that go to and fro."""

import contextlib
import queue
import subprocess
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import IO, Any, Self

from edgekd.board.frames import FrameError, read_frame, write_frame
from edgekd.core.text import printable
from edgekd.errors import DeviceError

LONGEST_SILENCE_S = 600.0
"""A job that says nothing for so long, or comes no further, is given up."""

LONGEST_JOB_S = 2 * 86400.0
"""A job that takes longer in all is given up, however often it says that it comes further: twice the longest
budget that a measurement can have."""

LAST_WORDS_S = 10.0
"""So long a runner that was told to end may take, before it is killed."""

KEPT_LINES = 20
"""Of what the runner or ssh say on standard error."""

LONGEST_LINE = 4096
"""Bytes of such a line that are read as one."""

MOST_UNREAD = 64
"""Frames that wait to be read: a runner sends none that is not asked for, but progress."""

_IS_IT_ALIVE = "is it overloaded, or out of memory? look there, then run the command again"

_Frame = tuple[dict[str, Any], dict[str, bytes]]

Explain = Callable[[str, int | None], tuple[str, str]]
"""From the last words of a process that ended, and its exit code, to what happened and how to mend it."""


class Channel:
    """Starts a runner and asks it for jobs, one after the other. Use it in a ``with`` statement.

    Args:
        command: Starts the runner; no shell reads it.
        device: How errors call it.
        first: Bytes that go to its standard input before the first frame.
        silence_s: Seconds without a word, or without taking any input, after which a job is given up.
        explain: Says why the connection was lost; both texts may be empty.

    Attributes:
        answered: Whether a frame ever came back.
        lost: Whether the runner ended, or was given up, without being told to.
    """

    def __init__(
        self,
        command: Sequence[str],
        *,
        device: str,
        first: bytes = b"",
        silence_s: float = LONGEST_SILENCE_S,
        explain: Explain = lambda said, code: ("", ""),
    ) -> None:
        self.device, self.silence_s = device, silence_s
        self.answered = self.lost = False
        self._explain = explain
        try:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                start_new_session=True,  # Ctrl-C ends the runner through us, not at the same time
            )
        except OSError as e:
            msg = f"cannot start {command[0]}: {e.strerror}"
            raise DeviceError(msg, where=device, fix=f"install {command[0]}") from e
        self._said: deque[str] = deque(maxlen=KEPT_LINES)
        self._frames: queue.Queue[_Frame | None] = queue.Queue(MOST_UNREAD)
        self._listener, self._overhearer = (
            threading.Thread(target=work, daemon=True) for work in (self._listen, self._overhear)
        )
        self._listener.start()
        self._overhearer.start()
        self._first = first

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def exit_code(self) -> int | None:
        """Of the process; None while it runs."""
        return self._process.poll()

    def ask(
        self,
        do: str,
        header: Mapping[str, Any] | None = None,
        blobs: Mapping[str, bytes] | None = None,
        *,
        on_progress: Callable[[int, int], None] | None = None,
    ) -> _Frame:
        """Ask for a job and wait for what it gives.

        Args:
            do: The job.
            header: What it needs that JSON can hold.
            blobs: What it needs besides.
            on_progress: Called with what is done and what is planned.

        Raises:
            DeviceError: If it fails, the connection ends, or it comes no further for too long.
        """
        self._send({"do": do, **(header or {})}, dict(blobs or {}))
        patience = _Patience(self.silence_s)
        while True:
            answer, blobs_back = self._next(patience)
            match answer:
                case {"progress": [int(done), int(total)]}:
                    if patience.is_further(done) and on_progress is not None:
                        on_progress(done, total)
                case {"failed": str(kind), "what": str(what)}:
                    raise DeviceError(what, where=self.device, kind=kind)
                case {"done": dict(found)}:
                    return found, blobs_back
                case _:
                    msg = "what it answers cannot be read"
                    raise self._give_up(msg)

    def close(self) -> None:
        """End the runner, which removes what it wrote; one that does not end is killed."""
        with self._killing_after(LAST_WORDS_S):
            with contextlib.suppress(OSError):
                self._stream(self._process.stdin).close()
            self._process.wait()
        readers = {self._listener: self._process.stdout, self._overhearer: self._process.stderr}
        for thread, stream in readers.items():
            thread.join(timeout=LAST_WORDS_S)
            if not thread.is_alive():  # else a process that the runner left holds the other end
                self._stream(stream).close()

    def _send(self, frame: dict[str, Any], blobs: dict[str, bytes]) -> None:
        stdin = self._stream(self._process.stdin)
        with self._killing_after(self.silence_s) as gave_up:
            try:
                stdin.write(self._first)
                self._first = b""
                write_frame(stdin, frame, blobs)
            except OSError as e:
                silent = f"it took no input for {self.silence_s:g} s"
                msg = silent if gave_up.is_set() else "it takes no more input"
                raise self._give_up(msg, ended=not gave_up.is_set()) from e

    def _next(self, patience: "_Patience") -> _Frame:
        try:
            frame = self._frames.get(timeout=patience.left_s)
        except (queue.Empty, ValueError):  # less than no time is left, though frames may wait
            self._process.kill()
            raise self._give_up(patience.why, ended=False) from None
        if frame is None:
            msg = "the connection ended"
            raise self._give_up(msg)
        self.answered = True
        return frame

    def _give_up(self, why: str, *, ended: bool = True) -> DeviceError:
        """Return what to raise, with the last words of the process, which is killed unless it ended."""
        self.lost = True
        try:
            self._process.wait(timeout=LAST_WORDS_S / 2)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._overhearer.join(timeout=LAST_WORDS_S / 2)
        said = "\n".join(self._said).strip()
        last = " ".join(said.split())
        what, fix = self._explain(said, self.exit_code) if ended else ("", _IS_IT_ALIVE)
        return DeviceError(what or f"{why}{f': {last}' if last else ''}", where=self.device, fix=fix)

    @contextlib.contextmanager
    def _killing_after(self, seconds: float) -> Iterator[threading.Event]:
        """Kill the process if the block takes longer; the event tells that it was."""
        gave_up = threading.Event()

        def kill() -> None:
            gave_up.set()
            self._process.kill()

        timer = threading.Timer(seconds, kill)
        timer.daemon = True
        timer.start()
        try:
            yield gave_up
        finally:
            timer.cancel()

    def _listen(self) -> None:
        try:
            while (frame := read_frame(self._stream(self._process.stdout))) is not None:
                self._frames.put((_plain(frame[0]), frame[1]))
        except (FrameError, OSError, ValueError, MemoryError):
            pass  # whoever waits is told that nothing more comes
        finally:
            self._frames.put(None)

    def _overhear(self) -> None:
        with contextlib.suppress(OSError, ValueError):
            while line := self._stream(self._process.stderr).readline(LONGEST_LINE):
                self._said.append(printable(line.decode(errors="replace").strip()))

    @staticmethod
    def _stream(stream: IO[bytes] | None) -> IO[bytes]:
        assert stream is not None
        return stream


class _Patience:
    """How long a job is still waited for: what it says counts only if it has come further."""

    def __init__(self, silence_s: float) -> None:
        self._silence_s, self._said, self._furthest = silence_s, False, -1
        self._last = time.monotonic()
        self._end = self._last + LONGEST_JOB_S

    def is_further(self, done: int) -> bool:
        """Whether the job has done more than it ever said."""
        self._said = True
        if done <= self._furthest:
            return False
        self._furthest, self._last = done, time.monotonic()
        return True

    @property
    def left_s(self) -> float:
        """Seconds until it is given up."""
        return min(self._last + self._silence_s, self._end) - time.monotonic()

    @property
    def why(self) -> str:
        """Say why it is given up."""
        if time.monotonic() >= self._end:
            return f"it was not done after {LONGEST_JOB_S:g} s"
        return f"{'it came no further' if self._said else 'nothing was heard'} for {self._silence_s:g} s"


def _plain(said: Any) -> Any:
    """Return what a frame says with no text in it that a terminal would obey: it ends up in reports."""
    match said:
        case str():
            return printable(said)
        case list():
            return [_plain(part) for part in said]
        case dict():
            return {_plain(name): _plain(part) for name, part in said.items()}
    return said
