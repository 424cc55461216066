"""From the marked graph to OpenVINO's dialect: that of ONNX Runtime, with weights of 8 or 4 bits.

OpenVINO unpacks INT4 codes when it loads the file and computes with them as int8; what unpacks fewer bits it
would leave in place, and compute in float.
"""

from collections.abc import Mapping

import onnx_ir as ir

from edgekd.lower.onnxruntime_dialect import lower_for_onnxruntime


def lower_for_openvino(marked: ir.Model, *, metadata: Mapping[str, str]) -> ir.Model:
    """Lower a marked graph, in place, and return it.

    Args:
        marked: What :func:`edgekd.export` wrote: a float graph with ``edgekd::FakeQuant`` marks.
        metadata: Written into the file: input size, colour order, resize, class names, spec digest.

    Raises:
        LowerError: If a mark cannot be expressed; names the mark.
    """
    return lower_for_onnxruntime(marked, metadata=metadata, runtime_version="1.22")
