"""Every operator gets a name: TensorRT's inspector and profiler know layers by it."""

import itertools
from collections.abc import Iterator

import onnx_ir as ir

from edgekd.lower.graph import CODES_SUFFIX, is_op, name_of, producer


class LayerNamesPass(ir.passes.InPlacePass):
    """Quantizers are named after the mark, dequantized weights after their codes, others by type and number.

    Of operators with one name, such as a convolution and its ReLU, the later one adds its type to it.
    """

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        """Name in place."""
        taken: set[str] = set()
        for node in model.graph:
            node.name = next(name for name in _names(node) if name not in taken)
            taken.add(node.name)
        return ir.passes.PassResult(model, modified=True)


def _names(node: ir.Node) -> Iterator[str]:
    kind = node.op_type.lower()
    if node.name:
        yield from (node.name, f"{node.name}.{kind}")
    wanted = _wanted(node)
    yield wanted
    yield from (f"{wanted}_{number}" for number in itertools.count(2))


def _wanted(node: ir.Node) -> str:
    result = name_of(node.outputs[0])
    if is_op(node, "QuantizeLinear") and result.endswith(CODES_SUFFIX):
        return f"{result.removesuffix(CODES_SUFFIX)}.quantize"
    if is_op(node, "DequantizeLinear"):
        codes = name_of(node.inputs[0])
        of_weights = producer(node, 0, "QuantizeLinear") is None
        return f"{codes if of_weights else codes.removesuffix(CODES_SUFFIX)}.dequantize"
    return node.op_type.lower()
