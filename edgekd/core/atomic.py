"""Files that are either the old one or the whole new one, also after a power cut."""

import hashlib
import json
import os
import secrets
from pathlib import Path


def write_bytes(path: Path, content: bytes) -> None:
    """Replace ``path`` by ``content`` in one step: temporary file, fsync, rename, fsync of the folder.

    Args:
        path: The file to write; its folder exists.
        content: The whole new content.

    Raises:
        OSError: If the disk is full or the folder cannot be written. ``path`` is then what it was before.
    """
    temporary = path.with_name(f".{secrets.token_hex(8)}.tmp")
    try:
        with temporary.open("xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    fsync_path(path.parent)


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
