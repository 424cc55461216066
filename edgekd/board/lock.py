"""One measurement at a time on a machine: two would measure each other."""

from __future__ import annotations

import fcntl
import os
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

LOCK_NAME = "edgekd-measuring.lock"


class MachineBusy(Exception):  # noqa: N818  it is a state of the machine, not a mistake
    """Another measurement of this machine has not ended in time."""


@contextmanager
def machine_lock(
    *, wait_s: float, on_wait: Callable[[], None] | None = None, folder: str | None = None
) -> Iterator[None]:
    """Hold the lock that all measurements on this machine take, whoever's they are.

    Args:
        wait_s: Longest time to wait for it, in seconds.
        on_wait: Called once if it has to be waited for.
        folder: Where the lock lies; by default the folder of temporary files, which all users share.

    Raises:
        MachineBusy: If it was not free in time.
    """
    descriptor = _open(Path(folder or tempfile.gettempdir()) / LOCK_NAME)
    try:
        _acquire(descriptor, wait_s, on_wait)
        yield
    finally:
        os.close(descriptor)


def _open(path: Path) -> int:
    """Open the lock for reading, which flock needs no more than: another user may have made it."""
    for _ in range(2):
        try:
            return os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)  # a pipe would block
        except FileNotFoundError:
            pass
        try:
            return os.open(path, os.O_RDONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o644)
        except FileExistsError:
            pass
    msg = "the lock appears and vanishes"
    raise MachineBusy(msg)


def _acquire(descriptor: int, wait_s: float, on_wait: Callable[[], None] | None) -> None:
    end = time.monotonic() + wait_s
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if on_wait is not None:
                on_wait()
                on_wait = None
            if time.monotonic() > end:
                msg = "another measurement of this machine goes on"
                raise MachineBusy(msg) from None
            time.sleep(0.2)
        else:
            return
