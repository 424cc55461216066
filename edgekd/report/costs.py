"""Where the time of an engine goes, in words, and what other CPUs may make of it."""

from collections.abc import Sequence
from typing import get_args

from edgekd.core.rules import rule
from edgekd.report.words import percent
from edgekd.runtimes.lost_time import Kind, LostTime, NodeCost, lost_time
from edgekd.runtimes.saturation import Saturation


def time_shares(nodes: Sequence[NodeCost]) -> str:
    """Return the share of each kind of operator; empty if no time was measured.

    Example:
        >>> time_shares([NodeCost(node="c", op="QLinearConv", kind="integer", time_share=1.0)])
        '100.0 % integer, 0.0 % float, 0.0 % borders'
    """
    if all(cost.time_share is None for cost in nodes):
        return ""
    words = {kind: "borders" if kind == "border" else kind for kind in get_args(Kind)}
    return ", ".join(
        f"{percent(sum(cost.time_share or 0.0 for cost in nodes if cost.kind == kind))} {word}"
        for kind, word in words.items()
    )


def lost_lines(nodes: Sequence[NodeCost]) -> list[str]:
    """Return one line for whatever takes time and is not integer: what it costs, why, what to change."""
    return [_lost_line(item) for item in lost_time(nodes)]


def _lost_line(item: LostTime) -> str:
    more = f" and {item.count - 1} more, see coverage.nodes" if item.count > 1 else ""
    borders = item.border_time_share
    around = f", of it {percent(borders)} at the borders around it" if borders else ""
    why = "; ".join(filter(None, (item.reason, item.change)))
    return f"{percent(item.time_share + borders)} {item.op} ({item.node}{more}){around}: {why}"


def saturation_line(layers: Sequence[Saturation]) -> str:
    """Return what a CPU without VNNI would make of the layers; empty if all are safe.

    Example:
        >>> saturation_line([Saturation(node="stem", channels=16, could=3, does=0)]).partition(":")[0]
        'without VNNI, 3 of 16 channels in 1 layer (first stem) may saturate, 0 do on these inputs'
    """
    if not layers:
        return ""
    could, channels = sum(layer.could for layer in layers), sum(layer.channels for layer in layers)
    does = [layer.does for layer in layers if layer.does is not None]
    happens = f", {sum(does)} do on these inputs" if does else ""
    counted = f"{len(layers)} layer{'s' if len(layers) > 1 else ''} (first {layers[0].node})"
    return (
        f"without VNNI, {could} of {channels} channels in {counted} may saturate{happens}: "
        f"{rule('saturation').advice}"
    )
