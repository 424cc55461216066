"""What makes a measured latency doubtful, told from the state of the machine before and after."""

from collections.abc import Mapping
from typing import Any

BUSY_CORES = 0.1
"""Other processes that used more than so many cores in the mean are told."""


def doubts(
    before: Mapping[str, Any],
    after: Mapping[str, Any],
    *,
    saturates: bool,
    isa: tuple[str, ...],
) -> tuple[str, ...]:
    """Return what was seen that can move the numbers, each a sentence.

    Args:
        before: `edgekd.board.fingerprint.conditions` before the measurement, and
        after: after it.
        saturates: Whether the CPU's 8-bit dot product clips.
        isa: Features of the CPU.
    """
    found = []
    seconds = max(1e-3, after.get("at_s", 0.0) - before.get("at_s", 0.0))
    if {"busy_s", "used_s"} <= before.keys() & after.keys():
        own = after["used_s"] - before["used_s"]
        others = (after["busy_s"] - before["busy_s"] - own) / seconds
        if others > BUSY_CORES:
            found.append(f"other processes kept {others:.1f} cores busy meanwhile")
    stolen = (after.get("stolen_s", 0.0) - before.get("stolen_s", 0.0)) / seconds
    if stolen > BUSY_CORES / 10:
        found.append(f"the hypervisor gave {100 * stolen:.0f} % of a core to other machines")
    slow = [name for name in after.get("governors", ()) if name != "performance"]
    if slow:
        found.append(f"clocks change: the frequency governor is {', '.join(slow)}, not performance")
    times = after.get("throttled", 0) - before.get("throttled", 0)
    if times > 0:
        found.append(f"the CPU or this container was throttled {times} times meanwhile")
    if saturates:
        found.append("this CPU has no VNNI: 8-bit products are summed in a slower, exact way")
    elif "asimd" in isa and "asimddp" not in isa:
        found.append("this CPU has no dot product instruction: 8-bit kernels are slow on it")
    return tuple(found)
