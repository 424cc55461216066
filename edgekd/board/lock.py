"""One measurement at a time on a machine: two would measure each other.

The lock is a file in a folder that all users of the machine can write, whatever their ``TMPDIR`` says. Nobody
reads or writes what it holds, so it does not matter who made it.
"""

from __future__ import annotations

import errno
import fcntl
import os
import stat
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

LOCK_NAME = "edgekd-measuring.lock"
SHARED_FOLDERS = ("/run/lock", "/dev/shm", "/tmp")
"""The first that everybody can write holds the lock; it is opened as if an enemy had made it."""
FOLDER_VARIABLE = "EDGEKD_LOCK_FOLDER"
"""Of the environment: another folder, for measurements that shall not wait for others, as in tests."""


class MachineBusy(Exception):  # noqa: N818  it is a state of the machine, not a mistake
    """Another measurement of this machine has not ended in time."""


@contextmanager
def machine_lock(*, wait_s: float, on_wait: Callable[[], None] | None = None) -> Iterator[None]:
    """Hold the lock that all measurements on this machine take, whoever's they are.

    Args:
        wait_s: Longest time to wait for it, in seconds.
        on_wait: Called once if it has to be waited for.

    Raises:
        MachineBusy: If it was not free in time.
        OSError: If something else lies in its place.
    """
    path = Path(os.environ.get(FOLDER_VARIABLE) or shared_folder()) / LOCK_NAME
    descriptor = _open(path)
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise OSError(errno.EEXIST, "no file for a lock: remove it", str(path))
        _acquire(descriptor, wait_s, on_wait)
        yield
    finally:
        os.close(descriptor)


def shared_folder(folders: tuple[str, ...] = SHARED_FOLDERS) -> str:
    """Return the first folder that everybody can write, the same for every user; else that of this user."""
    for folder in folders:
        try:
            everybody = Path(folder).stat().st_mode & stat.S_IWOTH
        except OSError:
            continue
        if everybody and os.access(folder, os.W_OK | os.X_OK):
            return folder
    return tempfile.gettempdir()


def _open(path: Path) -> int:
    """Open the lock for reading, which flock needs no more than: another user may have made it."""
    for _ in range(20):
        try:
            return os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)  # a pipe would block
        except PermissionError:
            time.sleep(0.05)  # whoever makes it opens it to all in the next moment
            continue
        except FileNotFoundError:
            pass
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o666)
        except FileExistsError:
            continue
        os.fchmod(descriptor, 0o666)  # whatever the umask says
        return descriptor
    msg = f"the lock cannot be opened, or appears and vanishes: {path}"
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
