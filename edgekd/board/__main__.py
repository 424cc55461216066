"""The runner's two entries: ``serve FOLDER`` and ``measure FOLDER``."""

from __future__ import annotations

import signal
import sys
from pathlib import Path

_PR_SET_PDEATHSIG = 1


def main() -> None:
    """Run the one that is asked for."""
    entry, folder = sys.argv[1], Path(sys.argv[2])
    if entry == "serve":
        from edgekd.board.serve import main as run
    else:
        _end_with_parent()
        from edgekd.board.measure import main as run
    run(folder)


def _end_with_parent() -> None:
    """Have Linux kill this process when the runner that started it dies, even by a kill."""
    try:
        import ctypes

        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    except (ImportError, OSError, AttributeError):  # another system
        return


if __name__ == "__main__":
    main()
