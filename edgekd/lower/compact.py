"""What makes a file small without changing what it computes: short names, no default attributes."""

import itertools
from collections.abc import Iterator, Sequence

import onnx_ir as ir

from edgekd.lower.graph import CODES_SUFFIX, attribute, graph_of, is_op, name_of, producer, weights_of
from edgekd.lower.lowering_pass import LoweringPass

_DEFAULTS = {
    "auto_pad": "NOTSET",
    "group": 1,
    "ceil_mode": 0,
    "storage_order": 0,
    "count_include_pad": 0,
    "alpha": 1.0,
    "beta": 1.0,
    "transA": 0,
    "allowzero": 0,
    "saturate": 1,
    "block_size": 0,
}
_ALL_EQUAL = {"dilations": 1, "strides": 1, "pads": 0}


class DropDefaultAttributesPass(LoweringPass):
    """Removes attributes that say what the operator does anyway."""

    def visit(self, node: ir.Node) -> bool:
        """Remove the default attributes of one node."""
        names = [name for name in node.attributes if _is_default(node, name)]
        for name in names:
            node.attributes.pop(name)
        return bool(names)


class NameOperatorsPass(LoweringPass):
    """Names a layer ``L``, its constants ``L.w .ws .b .bs``, and other operators by their codes.

    Names are read by people and paid for by every file, so they are short.
    """

    def visit(self, node: ir.Node) -> bool:
        """Name one operator."""
        readers = [use.node for use in node.outputs[0].uses()]
        dequantize = weights_of(node)
        node.name = ""
        if dequantize is not None:
            mark = name_of(dequantize.inputs[0])
            layer = mark.removesuffix(".w") if mark.endswith(".w") else mark[: mark.rindex(".weight")]
            graph = graph_of(node)
            _rename(graph, dequantize.inputs, layer, ("w", "ws", "wz"))
            bias = producer(node, 2, "DequantizeLinear")
            _rename(graph, bias.inputs if bias is not None else node.inputs[2:], layer, ("b", "bs"))
            taken = {other.name for other in graph}
            node.name = next(name for name in _uses(layer) if name not in taken)
        elif len(readers) == 1 and is_op(readers[0], "QuantizeLinear"):
            node.name = name_of(readers[0].outputs[0]).rpartition(".")[0]
        return True


def _rename(
    graph: ir.Graph, constants: Sequence[ir.Value | None], layer: str, suffixes: tuple[str, ...]
) -> None:
    taken = graph.initializers
    for value, suffix in zip(constants, suffixes, strict=False):
        if value is not None and value.is_initializer():
            value.name = next(name for name in _uses(layer, f".{suffix}") if taken.get(name, value) is value)


def _uses(layer: str, suffix: str = "") -> Iterator[str]:
    """A layer that is used twice shares only what is equal; the rest is numbered."""
    yield layer + suffix
    yield from (f"{layer}_{use}{suffix}" for use in itertools.count(2))


class UniqueNamesPass(ir.passes.InPlacePass):
    """Takes a name away that another operator has already: a clamp is called as the layer before it."""

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        """Rename in place."""
        seen: set[str] = set()
        modified = False
        for node in model.graph:
            if node.name and node.name in seen:
                node.name, modified = "", True
            seen.add(node.name or "")
        return ir.passes.PassResult(model, modified)


class ShortNamesPass(ir.passes.InPlacePass):
    """Numbers the tensors that nobody looks for, and drops inferred types: a runtime infers them again."""

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        """Rename in place."""
        for value in model.graph.initializers.values():
            value.shape, value.type = None, None
        numbers = itertools.count()
        for node in model.graph:
            node.metadata_props.clear()
            node.doc_string = None
            for value in node.outputs:
                value.metadata_props.clear()
                if value.is_graph_output():
                    continue
                value.shape, value.type = None, None
                if not (value.name or "").endswith(CODES_SUFFIX):
                    value.name = str(next(numbers))
        return ir.passes.PassResult(model, modified=True)


def _is_default(node: ir.Node, name: str) -> bool:
    value = attribute(node, name)
    if name == "kernel_shape":
        return is_op(node, "Conv")
    if name == "axis":
        scale = node.inputs[1] if is_op(node, "DequantizeLinear", "QuantizeLinear") else None
        return scale is not None and scale.shape is not None and len(scale.shape) == 0
    if name in _ALL_EQUAL:
        return all(item == _ALL_EQUAL[name] for item in value)
    return name in _DEFAULTS and value == _DEFAULTS[name]
