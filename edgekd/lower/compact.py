"""What makes a file small without changing what it computes: short names, no default attributes."""

import onnx_ir as ir

from edgekd.lower.graph import array, attribute, is_op, name_of, producer
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
        dequantize = producer(node, 1, "DequantizeLinear") if is_op(node, "Conv", "Gemm", "MatMul") else None
        node.name = ""
        if dequantize is not None and array(dequantize.inputs[0]) is not None:
            mark = name_of(dequantize.inputs[0])
            node.name = mark[: mark.index(".weight")]
            _rename(dequantize, node.name, ("w", "ws", "wz"))
            bias = producer(node, 2, "DequantizeLinear")
            if bias is not None:
                _rename(bias, node.name, ("b", "bs"))
        elif len(readers) == 1 and is_op(readers[0], "QuantizeLinear"):
            node.name = str(readers[0].outputs[0].name)
        return True


def _rename(dequantize: ir.Node, layer: str, suffixes: tuple[str, ...]) -> None:
    for value, suffix in zip(dequantize.inputs, suffixes, strict=False):
        if value is not None:
            value.name = f"{layer}.{suffix}"


class ShortNamesPass(ir.passes.InPlacePass):
    """Numbers the tensors that nobody looks for, and drops inferred types: a runtime infers them again."""

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        """Rename in place."""
        for value in model.graph.initializers.values():
            value.shape, value.type = None, None
        for index, node in enumerate(model.graph):
            node.metadata_props.clear()
            node.doc_string = None
            for value in node.outputs:
                value.metadata_props.clear()
                if value.is_graph_output():
                    continue
                value.shape, value.type = None, None
                if not is_op(node, "QuantizeLinear", "Clip"):
                    value.name = str(index)
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
