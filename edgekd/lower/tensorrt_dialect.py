"""From the marked graph to TensorRT's dialect: int8 codes with zero point 0, float biases.

Quantizers stand where the network was trained with them, around float operators: TensorRT itself decides
what it fuses between them. A ReLU stays in front of the quantizer, for int8 has no zero point that would
clamp. Weights of few bits are INT8 too: TensorRT has no faster kernel for them.

The graph also runs on ONNX Runtime without its optimisations, which is how accuracy is scored on a CPU;
with them a ReLU in front of int8 runs in float. With ``float_parts="fp16"`` it runs there too, but ONNX
Runtime computes most operators in float32 between casts to float16, so that about 1 % of the codes are off
by one; where TensorRT rounds is for it to say.
"""

import functools
from collections.abc import Callable, Mapping
from typing import Literal

import numpy as np
import onnx_ir as ir
from onnx_ir.passes import common

from edgekd.lower.compact import NameOperatorsPass, ShortNamesPass
from edgekd.lower.fold_batchnorm import FoldBatchNormPass
from edgekd.lower.half_floats import HalfFloatsPass, TinyScalesPass
from edgekd.lower.layer_names import LayerNamesPass
from edgekd.lower.lowered_model import lowered_model
from edgekd.lower.positive_scales import PositiveScalesPass
from edgekd.lower.quantize_signed import QuantizeSignedPass
from edgekd.lower.quantize_weights import QuantizeWeightsPass
from edgekd.lower.requantize_clamps import RequantizeClampsPass
from edgekd.lower.shift_pixels import ShiftPixelsPass

OPSET = 20
"""The highest that TensorRT 10 reads; the lowest with Gelu."""

IR_VERSION = 9

FloatParts = Literal["fp32", "fp16"]

PASSES: tuple[Callable[[], ir.passes.InPlacePass], ...] = (
    functools.partial(QuantizeWeightsPass, operands=np.int8),
    FoldBatchNormPass,
    PositiveScalesPass,
    ShiftPixelsPass,
    QuantizeSignedPass,
    RequantizeClampsPass,
    common.RemoveUnusedNodesPass,
)

NAMES: tuple[Callable[[], ir.passes.InPlacePass], ...] = (NameOperatorsPass, LayerNamesPass, ShortNamesPass)

HALF: tuple[Callable[[], ir.passes.InPlacePass], ...] = (
    TinyScalesPass,
    functools.partial(common.LiftConstantsToInitializersPass, lift_all_constants=True, size_limit=0),
    HalfFloatsPass,
)


def lower_for_tensorrt(
    marked: ir.Model, *, metadata: Mapping[str, str], float_parts: FloatParts = "fp32"
) -> ir.Model:
    """Lower a marked graph, in place, and return it.

    Args:
        marked: What :func:`edgekd.export` wrote: a float graph with ``edgekd::FakeQuant`` marks.
        metadata: Written into the file: input size, colour order, resize, class names, spec digest.
        float_parts: Type of scales, biases and of all that is no integer; outputs are float32 in any case.

    Raises:
        LowerError: If a mark cannot be expressed; names the mark and the row of the rule table.
    """
    passes = (*PASSES, *(HALF if float_parts == "fp16" else ()), *NAMES)
    return lowered_model(marked, passes, opset=OPSET, ir_version=IR_VERSION, metadata=metadata)
