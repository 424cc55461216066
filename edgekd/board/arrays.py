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
            return {str(label): held[f"a{index}"] for index, label in enumerate(held["labels"])}
    except (zipfile.BadZipFile, KeyError, OSError, EOFError) as e:
        msg = "not an archive of arrays"
        raise ValueError(msg) from e
