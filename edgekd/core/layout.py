"""Where the artifact store keeps what.

::

entries/<stage>/<key>/entry.json, files/...   committed artifacts, read-only
work/<key>/                                   the folder of a running or interrupted stage
work/<key>/scratch/                           its checkpoints
locks/<key>.lock                              held while a stage runs, and names its holder; files that stay
live/<run>.keys, .lock                        what an unfinished run uses
corrupt/<time>-<key>/                         damaged entries, set aside
pipelines/<pipeline>.json                     the calls of each pipeline's last run
"""

import errno
import os
import platform
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock

from edgekd.errors import StoreError

_HOLDER_CHARACTERS = 200
FULL_DISK = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


@dataclass(frozen=True)
class StoreLayout:
    """The paths below the root of a store."""

    root: Path

    @property
    def entries(self) -> Path:
        """Folder of all entries."""
        return self.root / "entries"

    @property
    def corrupt(self) -> Path:
        """Folder of the damaged entries."""
        return self.root / "corrupt"

    @property
    def pipelines(self) -> Path:
        """Folder of the pipelines' histories."""
        return self.root / "pipelines"

    @property
    def live(self) -> Path:
        """Folder of the unfinished runs."""
        return self.root / "live"

    def entry(self, stage: str, key: str) -> Path:
        """Folder of one entry."""
        return self.entries / stage / key

    def work(self, key: str) -> Path:
        """Folder that a stage is handed."""
        return self.root / "work" / key

    def lock(self, name: str) -> FileLock:
        """Lock ``name`` between processes, not yet acquired."""
        path = self.root / "locks" / f"{name}.lock"
        path.parent.mkdir(parents=True, exist_ok=True)
        return FileLock(path)

    @contextmanager
    def storage_errors(self) -> Iterator[None]:
        """Turn the OSErrors of the block into `StoreError`."""
        try:
            yield
        except OSError as e:
            raise self.storage_error(e) from e

    def storage_error(self, error: OSError) -> StoreError:
        """Say what an OSError means to the user of the store."""
        fix = "set $EDGEKD_STORE to a folder that you can write"
        if error.errno in FULL_DISK:
            fix = "free some space, then run again: it resumes"
        what = f"the artifact store cannot be used: {error.strerror or error}"
        return StoreError(what, where=str(error.filename or self.root), fix=fix)


def full_disk(error: Exception) -> OSError | None:
    """Return the OSError of a full disk behind an error; libraries that write files tell it in their text."""
    for number in FULL_DISK:
        if isinstance(error, OSError) and error.errno == number:
            return error
        if os.strerror(number) in str(error):
            return OSError(number, os.strerror(number))
    return None


def sign_lock(lock: FileLock, *, holder: str) -> None:
    """Write into a lock that this process has acquired who holds it."""
    text = f"{holder} (process {os.getpid()} on {platform.node()})"
    Path(lock.lock_file).write_text(text, encoding="utf-8")


def clear_lock(lock: FileLock) -> None:
    """Forget who holds a lock, before it is released."""
    os.truncate(lock.lock_file, 0)


def lock_holder(lock: FileLock) -> str:
    """Return who holds a lock, for people; empty if it does not say.

    The lock itself is the kernel's: it ends with its process, whatever is written in the file.
    """
    return Path(lock.lock_file).read_text(encoding="utf-8", errors="replace")[:_HOLDER_CHARACTERS]


def user_cache() -> Path:
    """Return the user's folder for what can be made again: ``$XDG_CACHE_HOME``, else ``~/.cache``."""
    cache = Path(os.environ.get("XDG_CACHE_HOME", ""))
    return cache if cache.is_absolute() else Path.home() / ".cache"
