"""Trace a network with torch.fx, and write composite activations as operators that have integer kernels."""

import operator
import traceback
from collections.abc import Callable

import torch.nn.functional as F
from torch import fx, nn

from edgekd.core.rules import Role, rules_for
from edgekd.errors import ExportError
from edgekd.quant.operators import onnx_op
from edgekd.zoo.pixels import PixelGrid


class _Tracer(fx.Tracer):
    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        return isinstance(m, PixelGrid) or super().is_leaf_module(m, module_qualified_name)


def trace(model: nn.Module) -> fx.GraphModule:
    """Return ``model`` as a graph that keeps its modules and their paths.

    Raises:
        ExportError: If the forward pass depends on values or has control flow on tensors; names file and
            line.
    """
    tracer = _Tracer()
    try:
        graph = tracer.trace(model)
    except Exception as e:
        line = traceback.extract_tb(e.__traceback__)[-1]
        user = [f for f in traceback.extract_tb(e.__traceback__) if "/torch/" not in f.filename]
        line = user[-1] if user else line
        what = f"the network cannot be traced: {type(e).__name__}: {e}"
        raise ExportError(
            what,
            where=f"{line.filename}:{line.lineno}: {line.line}",
            fix="replace control flow and Python conversions that depend on tensor values",
        ) from e
    return fx.GraphModule(tracer.root, graph)


def decompose(graph_module: fx.GraphModule) -> None:
    """Rewrite HardSigmoid, HardSwish and SiLU, in place, into adds, products, ReLU6 and Sigmoid."""
    modules = dict(graph_module.named_modules())
    graph = graph_module.graph
    for node in list(graph.nodes):
        if node.op not in ("call_module", "call_function", "call_method"):
            continue
        op = onnx_op(node, modules)
        if not any(row.role is Role.DECOMPOSE for row in rules_for(op)):
            continue
        with graph.inserting_before(node):
            result = _DECOMPOSITIONS[op](graph, node.args[0])
        for made in _chain_between(node.args[0], result):
            made.meta["nn_module_stack"] = node.meta.get("nn_module_stack")
        node.replace_all_uses_with(result)
        graph.erase_node(node)
    graph_module.recompile()


def _hard_sigmoid(graph: fx.Graph, x: fx.Node) -> fx.Node:
    shifted = graph.call_function(operator.add, (x, 3.0))
    clamped = graph.call_function(F.relu6, (shifted,))
    return graph.call_function(operator.mul, (clamped, 1.0 / 6.0))


def _hard_swish(graph: fx.Graph, x: fx.Node) -> fx.Node:
    return graph.call_function(operator.mul, (x, _hard_sigmoid(graph, x)))


def _silu(graph: fx.Graph, x: fx.Node) -> fx.Node:
    return graph.call_function(operator.mul, (x, graph.call_function(F.sigmoid, (x,))))


_DECOMPOSITIONS: dict[str, Callable[[fx.Graph, fx.Node], fx.Node]] = {
    "HardSigmoid": _hard_sigmoid,
    "HardSwish": _hard_swish,
    "Silu": _silu,
}


def _chain_between(start: fx.Node, end: fx.Node) -> list[fx.Node]:
    made: list[fx.Node] = []
    pending = [end]
    while pending:
        node = pending.pop()
        if node is not start and node not in made:
            made.append(node)
            pending.extend(node.all_input_nodes)
    return made
