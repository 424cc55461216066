"""What a number was measured on: the fingerprint that every report carries."""

import os

from edgekd.board.fingerprint import identity, read_text
from edgekd.core.spec_base import Spec

MAX_THREADS = 256
"""Of one inference; more would only wait for each other."""


class Machine(Spec):
    """Fingerprint of the machine and the software on it.

    Attributes:
        cpu: Model name as the system gives it.
        cores: Logical cores that this process may use.
        isa: Those of ``INTEGER_ISA`` that the CPU has; empty where the system does not say.
        os: Kernel name, release and architecture.
        python: Python version.
        runtime_versions: Version of each installed package of ``RUNTIME_PACKAGES``.
    """

    cpu: str
    cores: int
    isa: tuple[str, ...]
    os: str
    python: str
    runtime_versions: dict[str, str]


def machine() -> Machine:
    """Return the fingerprint of this machine. Imports none of the packages whose version it tells."""
    return Machine(**identity())


def memory_bytes() -> int:
    """Return the memory of this machine, or of the container that this process is confined to."""
    installed = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    limit = read_text("/sys/fs/cgroup/memory.max").strip()
    return min(installed, int(limit)) if limit.isdecimal() else installed
