"""Arrays as bytes: numpy's own archive, never unpickled."""

from __future__ import annotations

import io
import zipfile
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray


def pack(arrays: Mapping[str, NDArray[Any]]) -> bytes:
    """Return arrays of numbers as one archive; names may be any text."""
    buffer = io.BytesIO()
    names = [f"a{index}" for index in range(len(arrays))]
    labels = np.array(list(arrays), dtype=np.str_)
    np.savez(buffer, labels=labels, **dict(zip(names, map(np.asarray, arrays.values()))))  # type: ignore[arg-type]
    return buffer.getvalue()


def unpack(archive: bytes) -> dict[str, NDArray[Any]]:
    """Return what :func:`pack` packed.

    Raises:
        ValueError: If it is no such archive, or holds something else than numbers and text.
    """
    try:
        with np.load(io.BytesIO(archive), allow_pickle=False) as held:
            _check_stored(held.zip)
            return {str(label): held[f"a{index}"] for index, label in enumerate(held["labels"])}
    except Exception as e:  # whatever zipfile and numpy make of bytes that may come from anywhere
        msg = f"not an archive of arrays: {e}"
        raise ValueError(msg) from e


def _check_stored(archive: zipfile.ZipFile) -> None:
    if any(member.compress_type != zipfile.ZIP_STORED for member in archive.infolist()):
        msg = "it is compressed: a few bytes may become more than the memory holds"
        raise ValueError(msg)
