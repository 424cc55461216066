"""What the store holds, and removing what no pipeline uses."""

import os
import shutil
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from filelock import Timeout

from edgekd.core.entry import Entry
from edgekd.core.faults import fault_point
from edgekd.core.history import pipelines_by_key
from edgekd.core.layout import StoreLayout
from edgekd.core.live_run import live_keys


@dataclass(frozen=True)
class EntryInfo:
    """One entry of the store.

    Attributes:
        stage: Name of the stage.
        key: Identity of the inputs, 64 hex digits.
        size_bytes: Size on disk, with its record.
        created: Time of the commit, ISO 8601, UTC; empty if the entry's record cannot be read.
        pipelines: Names of the pipelines whose last run used it.
    """

    stage: str
    key: str
    size_bytes: int
    created: str
    pipelines: tuple[str, ...]


@dataclass(frozen=True)
class GarbageReport:
    """What was removed, or would be.

    Attributes:
        count: Number of entries, interrupted runs and damaged entries.
        size_bytes: Their size on disk.
    """

    count: int
    size_bytes: int


def list_entries(layout: StoreLayout) -> list[EntryInfo]:
    """Return all entries, sorted by stage and key."""
    used = pipelines_by_key(layout)
    return [
        EntryInfo(
            stage=folder.parent.name,
            key=folder.name,
            size_bytes=folder_size_bytes(folder),
            created=_created(folder),
            pipelines=tuple(used.get(folder.name, ())),
        )
        for folder in _folders(layout.root, "entries/*/*")
    ]


def collect_garbage(layout: StoreLayout, *, dry_run: bool) -> GarbageReport:
    """Remove entries that no pipeline's last run used, interrupted runs and damaged entries.

    What an unfinished run uses stays, and what another process works on, so that its lock is held.
    """
    live_keys(layout)  # removes what killed runs have left
    count = size_bytes = 0
    for folder, key in _candidates(layout):
        lock = layout.lock(key)
        with suppress(Timeout), lock.acquire(timeout=0):
            if _in_use(layout, folder) or not folder.exists():
                continue
            count += 1
            size_bytes += folder_size_bytes(folder)
            if not dry_run:
                _remove(layout, folder, key)
    return GarbageReport(count=count, size_bytes=size_bytes)


def folder_size_bytes(folder: Path) -> int:
    """Return the total size of the files below ``folder``; what vanishes meanwhile does not count."""
    total = 0
    for parent, _, names in os.walk(folder):
        for name in names:
            with suppress(FileNotFoundError):
                total += (Path(parent) / name).lstat().st_size
    return total


def _candidates(layout: StoreLayout) -> Iterator[tuple[Path, str]]:
    for folder in _folders(layout.root, "work/*"):
        yield folder, folder.name.partition(".")[0]
    for folder in _folders(layout.root, "corrupt/*"):
        yield folder, folder.name.rpartition("-")[2]
    for folder in _folders(layout.root, "entries/*/*"):
        if not _in_use(layout, folder):
            yield folder, folder.name


def _folders(root: Path, pattern: str) -> list[Path]:
    return sorted(path for path in root.glob(pattern) if path.is_dir())


def _in_use(layout: StoreLayout, folder: Path) -> bool:
    if not folder.is_relative_to(layout.entries):
        return False
    return folder.name in pipelines_by_key(layout) or folder.name in live_keys(layout)


def _remove(layout: StoreLayout, folder: Path, key: str) -> None:
    removed = layout.work(f"{key}.removed")
    fault_point("collect.begin")
    if folder.is_relative_to(layout.entries):
        removed.parent.mkdir(exist_ok=True)
        folder = folder.rename(removed)  # in one step: there is never half an entry
        fault_point("collect.renamed")
    shutil.rmtree(folder)


def _created(folder: Path) -> str:
    try:
        return Entry.model_validate_json((folder / "entry.json").read_bytes()).created
    except (OSError, ValueError):
        return ""
