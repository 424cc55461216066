"""The marked graph as a float reference, cut at every activation quantizer.

Each quantizer's result becomes an *input* of the reference, and what it would round becomes an *output*. Fed
with the numbers that an engine holds at those places, the reference computes what the trained network would
make of them, layer by layer: an error in one layer is seen there and nowhere else. Nothing here is shared
with the lowering passes, so that a mistake in those is seen.
"""

from collections.abc import Container
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir

from edgekd.lower.graph import (
    CODES_SUFFIX,
    array,
    attribute,
    constant,
    graph_of,
    insert_before,
    is_mark,
    replace,
)
from edgekd.lower.lowering_pass import LoweringPass

SNAPPED_SUFFIX = ".dq"
"""Behind the name of a quantizer: the input that stands for its result."""

OPSET = 21


@dataclass(frozen=True)
class ActivationMark:
    """One activation quantizer of a marked graph.

    Attributes:
        name: The mark.
        scale: Units per code.
        qmin: Lowest centred code.
        qmax: Highest centred code.
        rank: Dimensions of the tensor; a lowered graph may hold it with trailing dimensions of 1.
        result: Name of the snapped tensor in the marked graph.
    """

    name: str
    scale: float
    qmin: int
    qmax: int
    rank: int
    result: str

    @property
    def codes_name(self) -> str:
        """Name of the tensor of codes, in a lowered graph and in the reference."""
        return self.name + CODES_SUFFIX


class ExpandWeightMarksPass(LoweringPass):
    """Weight marks become their snapped float numbers, with the arithmetic of ``fake_quant``."""

    def visit(self, node: ir.Node) -> bool:
        """Snap one weight."""
        weight = array(node.inputs[0]) if is_mark(node) else None
        if weight is None:
            return False
        scale, axis = array(node.inputs[1]), int(attribute(node, "axis"))
        assert scale is not None
        shaped = (
            scale.reshape([-1 if dim == axis else 1 for dim in range(weight.ndim)]) if axis >= 0 else scale
        )
        codes = np.clip(np.round(weight / shaped), attribute(node, "qmin"), attribute(node, "qmax"))
        name = f"{attribute(node, 'mark')}{SNAPPED_SUFFIX}"
        replace(node, constant(graph_of(node), (codes * shaped).astype(np.float32), name))
        return True


class ExpandPixelsPass(LoweringPass):
    """The pixel mark becomes ``(image - zero_point) * scale`` on channels-first planes."""

    def visit(self, node: ir.Node) -> bool:
        """Expand the pixel mark."""
        if not is_mark(node, "Pixels"):
            return False
        graph = graph_of(node)
        planes = insert_before(node, "Transpose", [node.inputs[0]], attributes={"perm": [0, 3, 1, 2]})
        numbers = insert_before(node, "Cast", [planes], attributes={"to": ir.DataType.FLOAT.value})
        zero = constant(graph, np.float32(attribute(node, "zero_point")), "pixels/zero")
        scale = constant(graph, np.float32(attribute(node, "scale")), "pixels/scale")
        replace(node, insert_before(node, "Mul", [insert_before(node, "Sub", [numbers, zero]), scale]))
        return True


class ExpandActivationMarksPass(LoweringPass):
    """Activation marks that cannot be cut at become ``clip(round(x / scale)) * scale``."""

    def __init__(self, kept: Container[str]) -> None:
        self.kept = kept

    def visit(self, node: ir.Node) -> bool:
        """Expand one activation mark, unless it is kept."""
        if not is_mark(node) or attribute(node, "mark") in self.kept:
            return False
        graph, scale = graph_of(node), node.inputs[1]
        ends = [constant(graph, np.float32(attribute(node, key)), key) for key in ("qmin", "qmax")]
        codes = insert_before(node, "Round", [insert_before(node, "Div", [node.inputs[0], scale])])
        replace(node, insert_before(node, "Mul", [insert_before(node, "Clip", [codes, *ends]), scale]))
        return True


class CutAtQuantizersPass(LoweringPass):
    """``y = FakeQuant(x)`` -> an output ``x / scale``, unrounded, and an input that stands for ``y``."""

    def visit(self, node: ir.Node) -> bool:
        """Cut at one activation mark."""
        if not is_mark(node):
            return False
        graph, mark = graph_of(node), str(attribute(node, "mark"))
        scaled = insert_before(node, "Div", [node.inputs[0], node.inputs[1]], output=mark + CODES_SUFFIX)
        scaled.type = ir.TensorType(ir.DataType.FLOAT)
        graph.outputs.append(scaled)
        stand_in = ir.Value(name=mark + SNAPPED_SUFFIX, type=ir.TensorType(ir.DataType.FLOAT))
        graph.inputs.append(stand_in)
        node.outputs[0].replace_all_uses_with(stand_in)
        graph.remove(node, safe=True)
        return True


def activation_marks(marked: ir.Model) -> tuple[ActivationMark, ...]:
    """Return the activation quantizers of a marked graph, in execution order."""
    found = []
    for node in marked.graph:
        scale = array(node.inputs[1]) if is_mark(node) and array(node.inputs[0]) is None else None
        if scale is None:
            continue
        shape = node.outputs[0].shape
        assert shape is not None
        name, qmin, qmax = (attribute(node, key) for key in ("mark", "qmin", "qmax"))
        result = str(node.outputs[0].name)
        found.append(ActivationMark(str(name), float(scale), int(qmin), int(qmax), len(shape), result))
    return tuple(found)


def float_reference(marked: ir.Model, *, cut_at: Container[str] | None = None) -> ir.Model:
    """Turn a marked graph, in place, into its layer-by-layer float reference, and return it.

    Float outputs of the network stay outputs; one that is a quantizer's result is there before rounding.

    Args:
        marked: The marked graph.
        cut_at: Quantizers whose codes are known, by mark; the reference computes the others itself. By
            default all are.
    """
    outputs = [value for value in marked.graph.outputs if not is_mark(value.producer())]
    marked.graph.outputs.clear()
    marked.graph.outputs.extend(outputs)
    passes = (
        ExpandWeightMarksPass(),
        ExpandPixelsPass(),
        *([] if cut_at is None else [ExpandActivationMarksPass(cut_at)]),
        CutAtQuantizersPass(),
    )
    for expand in passes:
        expand(marked)
    marked.opset_imports.clear()
    marked.opset_imports[""] = OPSET
    return marked
