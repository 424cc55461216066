"""One entry of the store: its record, how it is committed, and how damage is found."""

import os
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

from pydantic import BaseModel, ConfigDict, JsonValue

import edgekd
from edgekd.core.atomic import file_sha256, fsync_path, write_json
from edgekd.core.faults import fault_point
from edgekd.core.spec_base import json_digest
from edgekd.core.stage_call import StageCall
from edgekd.errors import StoreError

SCRATCH = "scratch"
_READ_ONLY = 0o444
_CLOCK_TICK_NS = 100_000_000  # coarser than the time stamps of any file system in use


class DamagedEntryError(StoreError):
    """An entry is not what was committed."""


class FileRecord(BaseModel):
    """One file of an entry, as it was committed."""

    model_config = ConfigDict(frozen=True)

    sha256: str
    size_bytes: int


class Entry(BaseModel):
    """What ``entry.json`` says.

    Attributes:
        stage: Name of the stage.
        version: Version of the stage.
        key: Identity of the inputs, 64 hex digits.
        digest: Identity of the files, 64 hex digits; see `content_digest`.
        files: By path relative to the entry's ``files`` folder.
        inputs: The inputs, for people, by the parameter's name.
        seconds: Duration of the stage, of its last part if it was interrupted.
        created: Time of the commit, ISO 8601, UTC.
        edgekd: Version of edgekd.
    """

    model_config = ConfigDict(frozen=True)

    stage: str
    version: int
    key: str
    digest: str
    files: dict[str, FileRecord]
    inputs: dict[str, JsonValue]
    seconds: float
    created: str
    edgekd: str


class FileHashes:
    """The sha256 of files, computed once per process for each file that has not been touched since."""

    def __init__(self) -> None:
        self._known: dict[tuple[int, ...], str] = {}

    def sha256(self, path: Path) -> str:
        """Return the hex sha256 of ``path``."""
        status = path.stat()
        identity = (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)
        if identity in self._known:
            return self._known[identity]
        sha256 = file_sha256(path)
        if time.time_ns() - status.st_ctime_ns > _CLOCK_TICK_NS:  # else a next write could bear the same time
            self._known[identity] = sha256
        return sha256


def content_digest(files: Mapping[str, FileRecord]) -> str:
    """Return the hex sha256 over the relative path and the sha256 of every file."""
    return json_digest({name: record.sha256 for name, record in files.items()})


def plain_files(folder: Path) -> dict[str, Path]:
    """Return every file below ``folder`` by its relative path with forward slashes.

    Raises:
        StoreError: If something is neither a file nor a folder, a symbolic link for example.
    """
    files: dict[str, Path] = {}
    for item in sorted(folder.iterdir()):
        if item.is_dir() and not item.is_symlink():
            files |= {f"{item.name}/{name}": path for name, path in plain_files(item).items()}
        elif item.is_file() and not item.is_symlink():
            files[item.name] = item
        else:
            what = f"{item.name} is a {'symbolic link' if item.is_symlink() else 'special file'}"
            raise StoreError(what, where=str(item), fix="write plain files into the stage's folder")
    return files


def commit_entry(work: Path, folder: Path, call: StageCall, *, seconds: float) -> Entry:
    """Move everything in ``work`` but its scratch folder into the new entry ``folder``, in one step.

    Args:
        work: The stage's folder; what remains of it is for the caller to remove.
        folder: The entry to make; it does not exist.
        call: The stage and its inputs.
        seconds: Duration of the stage.

    Raises:
        StoreError: If the stage left a symbolic link or another special file.
        OSError: If the disk is full or the store cannot be written. The scratch folder is then intact.
    """
    outputs = [item for item in work.iterdir() if item.name != SCRATCH]
    staged = work.with_name(f"{work.name}.commit")
    (staged / "files").mkdir(parents=True)
    fault_point("commit.begin")
    for item in outputs:
        item.rename(staged / "files" / item.name)
        fault_point("commit.moved")
    files = {name: _seal(path) for name, path in plain_files(staged / "files").items()}
    entry = Entry(
        stage=call.stage,
        version=call.version,
        key=call.key,
        digest=content_digest(files),
        files=files,
        inputs={name: value.description for name, value in call.inputs.items()},
        seconds=seconds,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        edgekd=edgekd.__version__,
    )
    write_json(staged / "entry.json", entry.model_dump(mode="json"))
    _seal(staged / "entry.json")
    fault_point("commit.recorded")
    for path, _, _ in os.walk(staged):
        fsync_path(Path(path))
    fault_point("commit.synced")
    folder.parent.mkdir(parents=True, exist_ok=True)
    staged.rename(folder)
    fault_point("commit.renamed")
    for parent in folder.parents[:3]:  # the stage, entries, the root
        fsync_path(parent)
    fault_point("commit.done")
    return entry


def read_entry(folder: Path, hashes: FileHashes) -> Entry:
    """Read an entry and compare every file with what was committed.

    Raises:
        DamagedEntryError: If a file is missing, changed or was added, or ``entry.json`` cannot be read.
        PermissionError: If this user may not read the entry.
    """
    try:
        entry = Entry.model_validate_json((folder / "entry.json").read_bytes())
        damage = _damage(folder, entry, hashes)
    except PermissionError:
        raise
    except OSError as e:
        damage = f"{Path(e.filename or folder).name}: {e.strerror}"
    except StoreError as e:
        damage = e.what
    except ValueError:
        damage = "entry.json is not the record of an entry"
    if damage:
        raise DamagedEntryError(damage, where=str(folder))
    return entry


def _damage(folder: Path, entry: Entry, hashes: FileHashes) -> str:
    if (entry.stage, entry.key) != (folder.parent.name, folder.name):
        return "entry.json is the record of another entry"
    if content_digest(entry.files) != entry.digest:
        return "entry.json does not agree with itself"
    found = plain_files(folder / "files")
    for name in sorted(entry.files.keys() | found.keys()):
        if name not in found:
            return f"{name} is missing"
        if name not in entry.files:
            return f"{name} was added"
        if found[name].stat().st_size != entry.files[name].size_bytes:
            return f"{name} has another size"
        if hashes.sha256(found[name]) != entry.files[name].sha256:
            return f"{name} has another sha256"
    return ""


def _seal(path: Path) -> FileRecord:
    path.chmod(_READ_ONLY)
    fsync_path(path)
    fault_point("commit.sealed")
    return FileRecord(sha256=file_sha256(path), size_bytes=path.stat().st_size)
