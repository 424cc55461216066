"""The runner: what a host sends to a board to open, run and measure models there.

It needs Python 3.8, numpy and a runtime. It reads frames from standard input and answers each with one frame,
``done`` or ``failed``, after any number of ``progress``. When the input ends, so does the runner, whatever it
was doing; its folder goes with it.
"""

from __future__ import annotations

import errno
import hashlib
import os
import queue
import re
import shutil
import signal
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from edgekd.board.fingerprint import conditions, identity
from edgekd.board.frames import FrameError, read_frame, write_frame

if TYPE_CHECKING:
    from typing import IO

    Frame = tuple[dict[str, Any], dict[str, bytes]]
    Reply = tuple[dict[str, Any], dict[str, bytes]]

_FILE_NAME = re.compile(r"[0-9a-f]{64}")


class Runner:
    """Answers a host's frames.

    Args:
        folder: Its own, private folder; removed at the end.
        out: Where answers go.
    """

    def __init__(self, folder: Path, out: IO[bytes]) -> None:
        self.folder, self.out = folder, out
        self.sessions: dict[str, Any] = {}
        self.scratch: dict[str, str] = {}
        self.measuring: Any = None

    def answer(self, header: dict[str, Any], blobs: dict[str, bytes]) -> None:
        """Do what one frame asks and say how it went."""
        try:
            verbs = {"describe": self._describe, "put": self._put}
            if header.get("do") in verbs:
                reply, out = verbs[header["do"]](header, blobs)
            else:
                from edgekd.board import jobs  # what needs numpy and a runtime, which may be missing

                reply, out = jobs.do(self, header, blobs)
        except Exception as e:
            kind = errno.errorcode.get(getattr(e, "errno", None) or 0, type(e).__name__)
            write_frame(self.out, {"failed": kind, "what": " ".join(str(e).split())[:2000]})
        else:
            write_frame(self.out, {"done": reply}, out)

    def progress(self, done: int, total: int) -> None:
        """Say how far the job is."""
        write_frame(self.out, {"progress": [done, total]})

    def path(self, digest: str) -> Path:
        """Return where the file with this digest lies."""
        if not _FILE_NAME.fullmatch(digest):
            msg = "a file is named by its sha256"
            raise ValueError(msg)
        return self.folder / digest

    def leave(self) -> None:
        """End what runs and remove the folder."""
        if self.measuring is not None and self.measuring.poll() is None:
            os.killpg(self.measuring.pid, signal.SIGKILL)
        shutil.rmtree(self.folder, ignore_errors=True)

    def _describe(self, header: dict[str, Any], blobs: dict[str, bytes]) -> Reply:
        return {"identity": identity(), "conditions": conditions(), "folder": str(self.folder)}, {}

    def _put(self, header: dict[str, Any], blobs: dict[str, bytes]) -> Reply:
        (blob,) = blobs.values()
        path = self.path(hashlib.sha256(blob).hexdigest())
        try:
            path.write_bytes(blob)
        except OSError:
            path.unlink(missing_ok=True)  # half a file is none
            raise
        return {}, {}


def main(folder: Path) -> NoReturn:
    """Answer frames from standard input until it ends.

    Args:
        folder: Private to this runner, which removes it.
    """
    out = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what a runtime prints must not come between the frames
    runner = Runner(folder, out)
    frames: queue.Queue[Frame] = queue.Queue()
    threading.Thread(target=_listen, args=(frames, runner), daemon=True).start()
    while True:
        header, blobs = frames.get()
        try:
            runner.answer(header, blobs)
        except OSError:  # the host is gone
            _end(runner)


def _listen(frames: queue.Queue[Frame], runner: Runner) -> None:
    """Pass frames on; when they end, end everything, even in the middle of a job."""
    try:
        while True:
            frame = read_frame(sys.stdin.buffer)
            if frame is None:
                break
            frames.put(frame)
    except (FrameError, OSError) as e:
        sys.stderr.write(f"edgekd: {e}\n")
    finally:
        _end(runner)


def _end(runner: Runner) -> NoReturn:
    runner.leave()
    sys.stderr.flush()
    os._exit(0)
