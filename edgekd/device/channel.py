"""A runner's process, here or behind another program such as ssh, and the frames that go to and fro."""

import contextlib
import queue
import subprocess
import threading
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Self

from edgekd.board.frames import FrameError, read_frame, write_frame
from edgekd.errors import DeviceError

LONGEST_SILENCE_S = 600.0
"""A job that says nothing for so long is given up."""

KEPT_LINES = 20
"""Of what the runner or ssh say on standard error."""

_Frame = tuple[dict[str, Any], dict[str, bytes]]


class Channel:
    """Starts a runner and asks it for jobs, one after the other. Use it in a ``with`` statement.

    Args:
        command: Starts the runner; no shell reads it.
        device: How errors call it.
        first: Bytes that go to its standard input before the first frame.
        silence_s: Seconds without a word after which a job is given up.
    """

    def __init__(
        self,
        command: Sequence[str],
        *,
        device: str,
        first: bytes = b"",
        silence_s: float = LONGEST_SILENCE_S,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self.device, self.silence_s = device, silence_s
        try:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                start_new_session=True,  # Ctrl-C ends the runner through us, not at the same time
                env=environment,
            )
        except OSError as e:
            msg = f"cannot start {command[0]}: {e.strerror}"
            raise DeviceError(msg, where=device) from e
        self._said: deque[str] = deque(maxlen=KEPT_LINES)
        self._frames: queue.Queue[_Frame | None] = queue.Queue()
        self._threads = [
            threading.Thread(target=work, daemon=True) for work in (self._listen, self._overhear)
        ]
        for thread in self._threads:
            thread.start()
        if first:
            self._send(lambda stdin: (stdin.write(first), stdin.flush()))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

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
            DeviceError: If it fails, the connection ends, or nothing is heard for too long.
        """
        frame = {"do": do, **(header or {})}
        self._send(lambda stdin: write_frame(stdin, frame, dict(blobs or {})))
        while True:
            header_back, blobs_back = self._next()
            if "progress" in header_back:
                if on_progress is not None:
                    done, total = header_back["progress"]
                    on_progress(int(done), int(total))
                continue
            if "failed" in header_back:
                what, kind = str(header_back.get("what")), str(header_back["failed"])
                raise DeviceError(what, where=self.device, kind=kind)
            return header_back["done"], blobs_back

    def close(self) -> None:
        """End the runner, which removes what it wrote."""
        with contextlib.suppress(OSError):
            if self._process.stdin is not None:
                self._process.stdin.close()
        try:
            self._process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        for thread in self._threads:
            thread.join(timeout=10)
        for stream in (self._process.stdout, self._process.stderr):
            if stream is not None:
                stream.close()

    def _send(self, write: Callable[[Any], object]) -> None:
        try:
            write(self._process.stdin)
        except OSError as e:
            msg = "it takes no more input"
            raise self._lost(msg) from e

    def _next(self) -> _Frame:
        try:
            frame = self._frames.get(timeout=self.silence_s)
        except queue.Empty:
            self._process.kill()
            msg = f"nothing was heard for {self.silence_s:.0f} s"
            raise self._lost(msg) from None
        if frame is None:
            msg = "the connection ended"
            raise self._lost(msg)
        return frame

    def _lost(self, why: str) -> DeviceError:
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(timeout=5)
        self._threads[1].join(timeout=5)
        said = " ".join(" ".join(self._said).split())
        return DeviceError(f"{why}{f': {said}' if said else ''}", where=self.device)

    def _listen(self) -> None:
        with contextlib.suppress(FrameError, OSError, ValueError):
            while (frame := read_frame(self._process.stdout)) is not None:  # type: ignore[arg-type]
                self._frames.put(frame)
        self._frames.put(None)

    def _overhear(self) -> None:
        with contextlib.suppress(OSError, ValueError):
            for line in self._process.stderr or ():
                self._said.append(line.decode(errors="replace"))
