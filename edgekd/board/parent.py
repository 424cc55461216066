"""A process that ends with the one that started it."""

from __future__ import annotations

import os
import signal

_PR_SET_PDEATHSIG = 1


def end_with_parent(parent: int = 0) -> None:
    """Have Linux kill this process when the one that started it dies, even by a kill.

    Args:
        parent: Its process id, to end at once if it has died already; 0 if that is not known.
    """
    try:
        import ctypes

        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    except (ImportError, OSError, AttributeError):  # another system
        return
    if parent and os.getppid() != parent:
        os._exit(1)
