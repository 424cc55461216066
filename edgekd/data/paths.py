"""Paths as pipeline files write them: the same text on every machine."""

import os
from pathlib import Path

from edgekd.errors import DataError


def expand_data_path(text: str) -> Path:
    """Return ``text`` as a path, with a leading ``$EDGEKD_DATA`` or ``~`` expanded, and nothing else.

    Raises:
        DataError: If the text starts with ``$EDGEKD_DATA`` and that variable is not set.

    Example:
        >>> expand_data_path("weights/resnet20.safetensors").as_posix()
        'weights/resnet20.safetensors'
    """
    first, _, rest = text.partition("/")
    if first == "~":
        return Path.home() / rest
    if first != "$EDGEKD_DATA":
        return Path(text)
    root = os.environ.get("EDGEKD_DATA", "")
    if not root:
        what = "the environment variable EDGEKD_DATA is not set"
        raise DataError(what, where=text, fix="export EDGEKD_DATA=<the folder that holds your data sets>")
    return Path(root) / rest
