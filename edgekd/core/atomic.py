"""Files that are either the old one or the whole new one, also after a power cut."""

import errno
import fcntl
import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import BinaryIO

from edgekd.core.faults import fault_point


def write_bytes(path: Path, content: bytes) -> None:
    """Replace ``path`` by ``content`` in one step; see `write_files`."""
    write_files({path: content})


def write_files(contents: Mapping[Path, bytes]) -> None:
    """Replace files: temporary files, fsync, renames in the given order, fsync of the folders.

    Each file is the old one or the whole new one. The first is replaced when all new contents are on the
    disk. Of two processes that write the same files, one waits until the other has replaced all of its own.

    Args:
        contents: The whole new content of each file; their folders exist.

    Raises:
        OSError: If the disk is full or a folder cannot be written. All files are then what they were before.
    """
    with ExitStack() as stack:
        written = {path: stack.enter_context(_temporary(path, contents[path])) for path in sorted(contents)}
        fault_point("write.synced")
        for path in contents:
            written[path].replace(path)
            fault_point("write.renamed")
    for folder in {path.parent for path in contents}:
        fsync_path(folder)
    fault_point("write.done")


@contextmanager
def _temporary(path: Path, content: bytes) -> Iterator[Path]:
    """Write ``content`` to a file beside ``path`` that is this process's alone while the block runs.

    It always has the same name, so that the next write takes over what a killed process left.
    """
    temporary = path.with_name(f".{path.name}.tmp")
    file = _open_locked(temporary)
    try:
        file.truncate(0)
        file.write(content)
        file.flush()
        fault_point("write.begin")
        os.fsync(file.fileno())
        yield temporary
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    finally:
        file.close()


def _open_locked(path: Path) -> BinaryIO:
    """Open a file for writing, alone: not one that another process has renamed away meanwhile."""
    while True:
        file = os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o666), "wb")
        with suppress(OSError):  # a file system without locks
            fcntl.flock(file, fcntl.LOCK_EX)
        with suppress(FileNotFoundError):
            if os.path.samestat(path.stat(), os.fstat(file.fileno())):
                return file
        file.close()


def write_text(path: Path, text: str) -> None:
    """Replace ``path`` by ``text`` (UTF-8) in one step; see `write_bytes`."""
    write_bytes(path, text.encode())


def write_json(path: Path, value: object) -> None:
    """Replace ``path`` by ``value`` as indented JSON in one step; see `write_bytes`.

    Raises:
        ValueError: If ``value`` holds a number that JSON does not know (inf, nan).
        OSError: As in `write_bytes`.
    """
    write_text(path, json.dumps(value, indent=2, allow_nan=False) + "\n")


def check_writable(folder: Path) -> None:
    """Find out, leaving nothing behind, whether ``folder`` can be made or files be written into it.

    Raises:
        OSError: If not; it names the folder, or the nearest one above that exists.
    """
    nearest = next(path for path in (folder.absolute(), *folder.absolute().parents) if path.exists())
    if not nearest.is_dir():
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(nearest))
    if not os.access(nearest, os.W_OK | os.X_OK):
        raise PermissionError(errno.EACCES, "it is read-only for this user", str(nearest))
    try:
        TemporaryDirectory(dir=nearest).cleanup()  # some file systems, such as /proc, refuse nevertheless
    except OSError as e:
        raise OSError(e.errno, f"nothing can be made in it ({e.strerror})", str(nearest)) from e


def fsync_path(path: Path) -> None:
    """Wait until the file, or the folder's list of names, is on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def file_sha256(path: Path) -> str:
    """Return the hex sha256 of the bytes of ``path``."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
