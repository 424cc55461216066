"""What a machine can do for a target: lower for it, build an engine, run it."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Readiness:
    """What a host can do.

    Attributes:
        version: Of the runtime there; empty if it lacks it.
        gpu: What engines are built for there, if not for the CPU.
        not_built: Why it cannot build engines, and how it could; empty if it can.
        not_run: Why it cannot run them; empty if it can.
    """

    version: str
    gpu: str = ""
    not_built: str = ""
    not_run: str = ""
