"""What every dialect does with its passes: run them over a marked graph and make plain ONNX of the result."""

from collections.abc import Callable, Iterable, Mapping

import onnx_ir as ir

from edgekd.errors import LowerError
from edgekd.lower.graph import MARK_DOMAIN


def lowered_model(
    marked: ir.Model,
    passes: Iterable[Callable[[], ir.passes.InPlacePass]],
    *,
    opset: int,
    ir_version: int,
    metadata: Mapping[str, str],
) -> ir.Model:
    """Run ``passes`` over a marked graph, in place, and return it as a plain ONNX model.

    Args:
        marked: A float graph with edgekd's marks.
        passes: Of one dialect, in order.
        opset: Version of the ONNX operators, the only domain of the result.
        ir_version: Version of the file format.
        metadata: Written into the file.

    Raises:
        LowerError: If a pass cannot express what it meets, or if marks are left.
    """
    for lowering in passes:
        lowering()(marked)
    left = [f"{node.op_type} {node.name}".strip() for node in marked.graph if node.domain == MARK_DOMAIN]
    if left:
        what = f"marks left after lowering: {', '.join(left[:5])}"
        raise LowerError(what)
    model = ir.Model(marked.graph, ir_version=ir_version, producer_name="edgekd")
    model.graph.opset_imports.clear()
    model.graph.opset_imports[""] = opset
    model.graph.metadata_props.clear()
    model.graph.name = "edgekd"
    model.metadata_props.update(metadata)
    return model
