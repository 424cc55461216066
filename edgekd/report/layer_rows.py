"""The layers of an engine, one row each: what its file holds, how exact it is, what it costs."""

import re
from collections.abc import Collection
from dataclasses import dataclass

from edgekd.report.target_schema import Coverage, LayerFidelity, LayerWeights, TargetReport

_ADDED_BY_RUNTIME = re.compile(r"_token_\d+$")
_ADDED_BY_EXPORT = ".q"


@dataclass(frozen=True)
class LayerRow:
    """One quantized tensor; fields are null where there is nothing to say.

    Attributes:
        name: Of the layer or operation that computes it.
        weights: Its weights in the file; null for what has none.
        fidelity: Its codes against those of the trained student.
        time_share: Fraction of the time of one inference; null where the runtime's profile does not tell.
        reason: Why it runs in float; empty for what runs in integers.
    """

    name: str
    weights: LayerWeights | None
    fidelity: LayerFidelity | None
    time_share: float | None
    reason: str

    @property
    def sparsity(self) -> float | None:
        """Fraction of the weights whose code is 0."""
        if self.weights is None or self.weights.zeros is None:
            return None
        return self.weights.zeros / max(1, self.weights.weights)


def layer_rows(target: TargetReport) -> tuple[LayerRow, ...]:
    """Return all quantized tensors in the order of the graph, then layers that only the file knows."""
    weights = {layer.name: layer for layer in target.layers}
    fidelity = {layer.name: layer for layer in target.fidelity.layers}
    fallbacks = target.coverage.fallbacks
    names = dict.fromkeys([*fidelity, *weights])
    reasons = {_plain(item.node, names): item.reason for item in fallbacks}
    reasons |= {item.node: item.reason for item in fallbacks}  # the operator's own, if there is one
    times = _times(target.coverage, names)
    return tuple(
        LayerRow(name, weights.get(name), fidelity.get(name), times.get(name), reasons.get(name, ""))
        for name in names
    )


@dataclass(frozen=True)
class FloatGroup:
    """Operators that run in float for one reason.

    Attributes:
        op: Their type.
        nodes: Their names.
        reason: Why, and what to change.
    """

    op: str
    nodes: tuple[str, ...]
    reason: str


def float_groups(coverage: Coverage) -> tuple[FloatGroup, ...]:
    """Return what runs in float, by type and reason, in the order of the graph."""
    found: dict[tuple[str, str], list[str]] = {}
    for item in coverage.fallbacks:
        found.setdefault((item.op, item.reason), []).append(item.node)
    return tuple(FloatGroup(op, tuple(nodes), reason) for (op, reason), nodes in found.items())


def _times(coverage: Coverage, names: Collection[str]) -> dict[str, float]:
    """Return the time of each layer, with that of the quantizers that are named after it."""
    found: dict[str, float] = {}
    for node in coverage.nodes:
        if node.time_share is not None:
            name = _plain(node.node, names)
            found[name] = found.get(name, 0.0) + node.time_share
    return found


def _plain(node: str, names: Collection[str]) -> str:
    """Return a node's name without what export and runtime add to it, unless a layer is called like that.

    Example:
        >>> layers = {"head.proj", "attn.q"}
        >>> [_plain(node, layers) for node in ("head.proj_token_230", "head.add.q", "attn.q", "attn.q.q")]
        ['head.proj', 'head.add', 'attn.q', 'attn.q']
    """
    name = _ADDED_BY_RUNTIME.sub("", node)
    if name in names:
        return name
    return _ADDED_BY_RUNTIME.sub("", name.removesuffix(_ADDED_BY_EXPORT))
