"""Identity of a data set's files, so that a second run need not read them again.

The sha256 of a file is remembered by its size and time of change, in ``fingerprints/`` beside the store.
"""

import contextlib
import json
import time
from collections.abc import Callable, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

from edgekd.core.atomic import file_sha256, write_text
from edgekd.core.spec_base import json_digest
from edgekd.core.store import default_store_root
from edgekd.data.parallel import for_each_row
from edgekd.errors import DataError

_SETTLED_NS = (
    2_000_000_000  # a file touched since may change again within one tick of its file system's clock
)


class DataFile(NamedTuple):
    """A file as it is now.

    Attributes:
        name: What it is called in the data set, whatever folder that lies in.
        path: Where it lies.
        size_bytes: Its size.
        mtime_ns: When it was changed.
    """

    name: str
    path: Path
    size_bytes: int
    mtime_ns: int

    @classmethod
    def at(cls, path: Path, name: str) -> "DataFile":
        """Return the file at ``path``, behind symbolic links.

        Raises:
            DataError: If it is missing, or a symbolic link that leads nowhere.
        """
        try:
            status = path.stat()
        except OSError as e:
            what = (
                f"a symbolic link to nowhere: {path}"
                if path.is_symlink()
                else f"cannot read {path}: {e.strerror}"
            )
            raise DataError(what, where=str(path), fix="mend it or take it out") from e
        return cls(name, path, status.st_size, status.st_mtime_ns)


@lru_cache(maxsize=16)
def content_digest(files: tuple[DataFile, ...]) -> str:
    """Return the hex sha256 over names, sizes and contents of ``files``; where they lie does not count."""
    memory = _memory(json_digest(sorted(str(file.path.absolute()) for file in files)))
    known = _recall(memory)  # by name: size, time of change, sha256
    stamps = {file.name: [file.size_bytes, file.mtime_ns] for file in files}
    sha256 = {
        name: entry[2]
        for name, entry in known.items()
        if isinstance(entry, list) and len(entry) == 3 and entry[:2] == stamps.get(name)
    }
    missing = [file for file in files if file.name not in sha256]

    def read(row: int) -> None:
        try:
            sha256[missing[row].name] = file_sha256(missing[row].path)
        except OSError as e:
            what = f"cannot read {missing[row].path}: {e.strerror}"
            raise DataError(what, where=str(missing[row].path), fix="look at its permissions") from e

    if missing:
        for_each_row(read, len(missing), description="read data")
        settled = time.time_ns() - _SETTLED_NS
        _remember(
            memory,
            {file.name: [*stamps[file.name], sha256[file.name]] for file in files if file.mtime_ns < settled},
        )
    return json_digest({file.name: [file.size_bytes, sha256[file.name]] for file in files})


def remembered(key: str, compute: Callable[[], str]) -> str:
    """Return what ``compute`` returned when it was last called for ``key``, or call it.

    Args:
        key: Hex sha256 of what the result depends on.
        compute: Returns a text; what it raises is not remembered.
    """
    memory = _memory(key)
    known = _recall(memory).get("result")
    if isinstance(known, str):
        return known
    result = compute()
    _remember(memory, {"result": result})
    return result


def _memory(key: str) -> Path:
    return default_store_root() / "fingerprints" / f"{key}.json"


def _recall(memory: Path) -> dict[str, Any]:
    try:
        found = json.loads(memory.read_bytes())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _remember(memory: Path, value: Mapping[str, object]) -> None:
    with contextlib.suppress(OSError):  # a cache: without it the next run reads the files again
        memory.parent.mkdir(parents=True, exist_ok=True)
        write_text(memory, json.dumps(value))
