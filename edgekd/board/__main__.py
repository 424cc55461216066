"""The runner's two entries: ``serve FOLDER`` and ``measure FOLDER``."""

from __future__ import annotations

import sys
from pathlib import Path

from edgekd.board.parent import end_with_parent


def main() -> None:
    """Run the one that is asked for."""
    entry, folder = sys.argv[1], Path(sys.argv[2])
    if entry == "serve":
        from edgekd.board.serve import main as run
    else:
        end_with_parent()
        from edgekd.board.measure import main as run
    run(folder)


if __name__ == "__main__":
    main()
