"""Memory of this process, as Linux counts it."""

from __future__ import annotations

from pathlib import Path


def resident_bytes() -> int:
    """Return the bytes of this process that are in memory now; 0 where the system does not say."""
    return _status("VmRSS")


def peak_bytes() -> int:
    """Return the most bytes of this process that ever were in memory; 0 where the system does not say."""
    return _status("VmHWM")


def _status(key: str) -> int:
    try:
        lines = Path("/proc/self/status").read_text(encoding="ascii", errors="replace").splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{key}:")), 0)
