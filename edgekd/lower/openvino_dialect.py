"""From the marked graph to OpenVINO's dialect: uint8 activations, int8 weights, int32 biases.

It is ONNX Runtime's, but for three things. OpenVINO unpacks INT4 codes when it loads a file; what unpacks
fewer bits it would leave in place and compute in float, so weights are stored in 8 or 4 bits. A convolution
of pixels whose zero point is not 0 runs in float, so pixels are shifted. A clip of codes takes a kernel
longer than one of the numbers that become codes.

Where what a convolution gives to an addition is quantized, as by profiles ``ort`` and ``portable``, OpenVINO
makes one kernel of the two and leaves that rounding out: sums are off by a code. By profile ``tensorrt`` only
the sum is quantized, and every code comes out as trained; most of these sums are kernels of their own, in
float, which take time.
"""

import functools
from collections.abc import Callable, Mapping

import onnx_ir as ir

from edgekd.lower.compact import UniqueNamesPass
from edgekd.lower.lowered_model import lowered_model
from edgekd.lower.onnxruntime_dialect import IR_VERSION, OPSET, PASSES
from edgekd.lower.own_codes import OwnCodesPass
from edgekd.lower.pack_weights import PackWeightsPass
from edgekd.lower.pixel_border import UnsignedBorder
from edgekd.lower.quantize_activations import QuantizeActivationsPass, QuantizePixelsPass
from edgekd.lower.shift_pixels import ShiftPixelsPass
from edgekd.lower.storage import CAST_BITS

_OWN: dict[Callable[[], ir.passes.InPlacePass], Callable[[], ir.passes.InPlacePass]] = {
    PackWeightsPass: functools.partial(PackWeightsPass, CAST_BITS, tables=False),
    QuantizeActivationsPass: functools.partial(QuantizeActivationsPass, clip_numbers=True),
    QuantizePixelsPass: functools.partial(ShiftPixelsPass, UnsignedBorder),
}


def lower_for_openvino(marked: ir.Model, *, metadata: Mapping[str, str]) -> ir.Model:
    """Lower a marked graph, in place, and return it.

    Args:
        marked: What :func:`edgekd.export` wrote: a float graph with ``edgekd::FakeQuant`` marks.
        metadata: Written into the file: input size, colour order, resize, class names, spec digest.

    Raises:
        LowerError: If a mark cannot be expressed; names the mark.
    """
    theirs = (lowering for lowering in PASSES if lowering is not OwnCodesPass)  # a mistake of ONNX Runtime
    passes = [*(_OWN.get(lowering, lowering) for lowering in theirs), UniqueNamesPass]
    return lowered_model(marked, passes, opset=OPSET, ir_version=IR_VERSION, metadata=metadata)
