"""Where the time of an engine goes, and what to change where it is lost."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

import onnx

from edgekd.core.spec_base import Spec

LEAST_SHARE = 0.02
"""Of the time: what costs less is not worth a line."""

Kind = Literal["integer", "float", "border"]


class NodeCost(Spec):
    """One operator of the graph that runs, and what it costs.

    Attributes:
        node: Its name, or the name of its result.
        op: Operator type.
        kind: ``integer``: it computes on integers or moves them. ``border``: it changes the type or the
            layout of numbers and computes nothing. ``float``: any other.
        time_share: Its fraction of the time of one inference in all operators; null if it was not measured.
        island: The most expensive float operator of those that exchange floats with it; empty for an integer
            operator, and for a border with integers around it.
        reason: What keeps it from being an integer operator, as far as that is known.
        change: What to change.
    """

    node: str
    op: str
    kind: Kind
    time_share: float | None = None
    island: str = ""
    reason: str = ""
    change: str = ""


@dataclass(frozen=True)
class LostTime:
    """Operators of one type that cost time for one reason.

    Attributes:
        node: The most expensive of them.
        op: Operator type.
        count: How many there are.
        time_share: Their fraction of the time of one inference.
        border_time_share: That of the borders around their islands.
        reason: As `NodeCost` says it, of ``node``.
        change: The same.
    """

    node: str
    op: str
    count: int
    time_share: float
    border_time_share: float
    reason: str
    change: str


def lost_time(nodes: Iterable[NodeCost]) -> tuple[LostTime, ...]:
    """Return what is not computed on integers and takes more than `LEAST_SHARE`, the most expensive first.

    The borders of a float island count for its most expensive operator.

    Args:
        nodes: From `Coverage`, the most expensive first.
    """
    groups: dict[tuple[str, str], list[NodeCost]] = {}
    borders: dict[str, float] = {}
    for cost in nodes:
        if cost.kind == "float" or (cost.kind == "border" and not cost.island and cost.change):
            groups.setdefault((cost.op, cost.change), []).append(cost)
        elif cost.kind == "border" and cost.island:
            borders[cost.island] = borders.get(cost.island, 0.0) + (cost.time_share or 0.0)
    lost = [
        LostTime(
            node=costs[0].node,
            op=op,
            count=len(costs),
            time_share=sum(cost.time_share or 0.0 for cost in costs),
            border_time_share=sum(borders.get(cost.node, 0.0) for cost in costs),
            reason=costs[0].reason,
            change=change,
        )
        for (op, change), costs in groups.items()
    ]
    worth = [item for item in lost if item.time_share + item.border_time_share > LEAST_SHARE]
    return tuple(sorted(worth, key=lambda item: -item.time_share - item.border_time_share))


def islands(nodes: Sequence[onnx.NodeProto], kinds: Sequence[Kind], times: Sequence[float]) -> list[str]:
    """Return for each operator the name of its island, see `NodeCost`.

    Args:
        nodes: Operators of the graph.
        kinds: Their kinds.
        times: What each takes, in any unit; empty if that was not measured.
    """
    makers = {name: index for index, node in enumerate(nodes) for name in node.output if name}
    parent = list(range(len(nodes)))

    def root(index: int) -> int:
        while parent[index] != index:
            parent[index] = index = parent[parent[index]]
        return index

    for index, node in enumerate(nodes):
        for name in node.input if kinds[index] != "integer" else ():
            maker = makers.get(name)
            if maker is not None and kinds[maker] != "integer":
                parent[root(index)] = root(maker)
    heads: dict[int, int] = {}
    for index in sorted(range(len(nodes)), key=lambda index: -times[index] if times else index):
        if kinds[index] == "float":
            heads.setdefault(root(index), index)
    found = (heads.get(root(index)) for index in range(len(nodes)))
    return ["" if head is None else name_of_node(nodes[head]) for head in found]


def name_of_node(node: onnx.NodeProto) -> str:
    """Return the name of an operator, or that of its result."""
    return node.name or node.output[0]
