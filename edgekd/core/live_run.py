"""What unfinished runs use, so that garbage collection spares it whatever later runs of that name record.

Each run has two files in ``live/``: a lock, which the kernel frees when its process ends, and its keys.
"""

import uuid
from pathlib import Path

from filelock import FileLock, Timeout

from edgekd.core.layout import StoreLayout


class LiveRun:
    """One run of a pipeline, from its first stage until it is released or its process ends."""

    def __init__(self, layout: StoreLayout) -> None:
        self._layout = layout
        self._keys = layout.live / f"{uuid.uuid4().hex}.keys"
        self._lock: FileLock | None = None

    def keep(self, key: str) -> None:
        """Keep the entry ``key``; its own lock is held, so that it is not being removed."""
        if self._lock is None:
            live_keys(self._layout)  # removes what a killed run has left
            self._keys.parent.mkdir(parents=True, exist_ok=True)
            self._lock = _lock(self._keys)
            self._lock.acquire()
        with self._keys.open("a", encoding="ascii") as file:
            file.write(f"{key}\n")

    def release(self) -> None:
        """Keep nothing any more."""
        if self._lock is not None:
            _remove(self._keys, self._lock)
            self._lock = None


def live_keys(layout: StoreLayout) -> set[str]:
    """Return the keys that unfinished runs use; remove the files of runs that were killed."""
    found: set[str] = set()
    for keys in layout.live.glob("*.keys"):
        lock = _lock(keys)
        try:
            lock.acquire(timeout=0)
        except Timeout:
            found.update(keys.read_text(encoding="ascii").split() if keys.exists() else ())
        else:
            _remove(keys, lock)
    return found


def _lock(keys: Path) -> FileLock:
    return FileLock(keys.with_suffix(".lock"))


def _remove(keys: Path, lock: FileLock) -> None:
    keys.unlink(missing_ok=True)
    lock.release()
    Path(lock.lock_file).unlink(missing_ok=True)
