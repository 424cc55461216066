"""What the lint says of a file, at the operators of the optimised graph that it was turned into."""

from collections import deque
from collections.abc import Iterator

import onnx
import onnx_ir as ir

from edgekd.lower.graph import name_of
from edgekd.lower.lint import LintFinding, lint


def mistakes_behind(optimized: onnx.ModelProto, source: ir.Model) -> dict[str, LintFinding]:
    """Return the mistake of the file that keeps an operator in float, by the operator's first result.

    An optimizer keeps the names of tensors but not those of operators. So an operator stands for those of
    the file that lie between its result and its inputs; the one nearest to the result counts.

    Args:
        optimized: The graph that runs.
        source: The file.
    """
    found = {item.node: item for item in reversed(lint(source)) if item.severity == "float"}
    if not found:
        return {}
    makers = {name_of(value): node for node in source.graph for value in node.outputs if value.name}
    known = {name for node in optimized.graph.node for name in (*node.input, *node.output)}
    readers: dict[str, list[onnx.NodeProto]] = {}
    for node in optimized.graph.node:
        for name in node.input:
            readers.setdefault(name, []).append(node)
    behind = {}
    for node in optimized.graph.node:
        for stood_for in _stood_for(node, makers, known, readers):
            name = stood_for.name or name_of(stood_for.outputs[0])
            if name in found:
                behind[node.output[0]] = found[name]
                break
    return behind


def _stood_for(
    node: onnx.NodeProto,
    makers: dict[str, ir.Node],
    known: set[str],
    readers: dict[str, list[onnx.NodeProto]],
) -> Iterator[ir.Node]:
    """Walk the file from an operator's results up to tensors that the optimised graph knows too."""
    names = deque(node.output)
    if not any(name in makers for name in names):  # a blocked layout: the name comes back behind it
        names.extend(
            name for read in node.output for next_node in readers.get(read, ()) for name in next_node.output
            if next_node.op_type == "ReorderOutput"
        )  # fmt: skip
    seen = set(names)
    while names:
        maker = makers.get(names.popleft())
        if maker is None:
            continue
        yield maker
        read = [value.name for value in maker.inputs if value is not None and value.name]
        fresh = [name for name in read if name not in known and name not in seen]
        seen.update(fresh)
        names.extend(fresh)
