"""Points at which a test kills the process, to prove that nothing is lost and nothing half-written.

``EDGEKD_FAULT=write.synced`` kills this process with SIGKILL when it passes that point for the first time,
``EDGEKD_FAULT=write.synced:3`` when it passes it for the third time. Without it a point does nothing.
"""

import os
import signal
from collections import Counter

FAULT_POINTS = (
    "write.begin",  # the temporary file is written, not yet on the disk
    "write.synced",  # all temporary files of a write are on the disk
    "write.renamed",  # one file is replaced
    "write.done",  # the folder's names are on the disk
    "checkpoint.begin",
    "checkpoint.done",
    "commit.begin",  # a stage has finished
    "commit.moved",  # one of its outputs is out of the stage's folder
    "commit.sealed",  # one of them is read-only and on the disk
    "commit.recorded",  # entry.json is written
    "commit.synced",  # everything is on the disk
    "commit.renamed",  # the entry is there
    "commit.done",  # its name is on the disk; the stage's folder is still there
    "aside.begin",  # a damaged entry was found
    "aside.renamed",
    "collect.begin",  # garbage was found
    "collect.renamed",
)
"""The names of all points."""

_passed: Counter[str] = Counter()


def fault_point(name: str) -> None:
    """Kill this process if ``EDGEKD_FAULT`` says so.

    Args:
        name: One of ``FAULT_POINTS``.
    """
    assert name in FAULT_POINTS, name
    wanted, _, passage = os.environ.get("EDGEKD_FAULT", "").partition(":")
    if name == wanted:
        _passed[name] += 1
        if _passed[name] == int(passage or 1):
            os.kill(os.getpid(), signal.SIGKILL)
