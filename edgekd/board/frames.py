"""How a host and a runner talk: frames of one line of JSON and the bytes that it announces.

A runner's standard output may begin with other text, such as what a shell prints at login. So a frame's line
has a prefix, and the reader skips what stands before the first one. Either side may be an attacker to the
other: sizes are bounded, nothing is unpickled.
"""

from __future__ import annotations

import json
from typing import IO, Any

PREFIX = b"edgekd "
LARGEST_LINE = 1 << 24
LARGEST_BLOBS = 1 << 32
"""Bytes of all blobs of a frame."""
MOST_BLOBS = 4096
MOST_OTHER_TEXT = 1 << 16
"""Bytes of other text that are skipped before the first frame."""


class FrameError(Exception):
    """What arrived is not a frame, or more than a frame may hold."""


def write_frame(stream: IO[bytes], header: dict[str, Any], blobs: dict[str, bytes] | None = None) -> None:
    """Write one frame and flush it.

    Args:
        stream: Binary, blocking.
        header: What JSON can hold; the key ``blobs`` is the frame's own.
        blobs: Bytes by name.
    """
    blobs = blobs or {}
    sizes = [[name, len(blob)] for name, blob in blobs.items()]
    stream.write(PREFIX + json.dumps({**header, "blobs": sizes}).encode() + b"\n")
    for blob in blobs.values():
        stream.write(blob)
    stream.flush()


def read_frame(stream: IO[bytes]) -> tuple[dict[str, Any], dict[str, bytes]] | None:
    """Read one frame; None where the stream ends before one begins.

    Raises:
        FrameError: If something else than a frame arrives, or the stream ends within one.
    """
    skipped = 0
    while True:
        line = stream.readline(LARGEST_LINE)
        if not line:
            return None
        if line.startswith(PREFIX):
            break
        skipped += len(line)
        if skipped > MOST_OTHER_TEXT:
            msg = "too much text that is no frame"
            raise FrameError(msg)
    header = _header(line)
    return header, {name: _blob(stream, size) for name, size in header.pop("blobs")}


def _header(line: bytes) -> dict[str, Any]:
    try:
        header = json.loads(line[len(PREFIX) :])
        blobs = [(str(name), int(size)) for name, size in header["blobs"]]
    except (ValueError, TypeError, KeyError, OverflowError, RecursionError) as e:
        msg = "a frame that cannot be read"
        raise FrameError(msg) from e
    sizes = [size for _, size in blobs]
    if len(blobs) > MOST_BLOBS or min(sizes, default=0) < 0 or sum(sizes) > LARGEST_BLOBS:
        msg = "a frame larger than frames may be"
        raise FrameError(msg)
    return {**header, "blobs": blobs}


def _blob(stream: IO[bytes], size: int) -> bytes:
    blob = stream.read(size)
    if len(blob) < size:
        msg = "the stream ended within a frame"
        raise FrameError(msg)
    return blob
