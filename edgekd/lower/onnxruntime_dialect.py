"""From the marked graph to ONNX Runtime's dialect: uint8 activations, int8 weights, int32 biases.

Weights of few bits stand packed in the file; the kernels get them as int8.
"""

import functools
import re
from collections.abc import Mapping

import onnx_ir as ir
from onnx_ir.passes import common

from edgekd.errors import LowerError
from edgekd.lower.absorb_clamp import AbsorbClampPass
from edgekd.lower.canonical_pool import CanonicalPoolPass
from edgekd.lower.compact import DropDefaultAttributesPass, NameOperatorsPass, ShortNamesPass
from edgekd.lower.fold_batchnorm import FoldBatchNormPass
from edgekd.lower.integer_bias import IntegerBiasPass
from edgekd.lower.lowered_model import lowered_model
from edgekd.lower.own_codes import OwnCodesPass
from edgekd.lower.pack_weights import PackWeightsPass
from edgekd.lower.quantize_activations import QuantizeActivationsPass, QuantizePixelsPass
from edgekd.lower.quantize_scalars import QuantizeScalarsPass
from edgekd.lower.quantize_weights import QuantizeWeightsPass
from edgekd.lower.separate_quantizers import SeparateQuantizersPass
from edgekd.lower.share_codes import ShareCodesPass
from edgekd.lower.storage import FILE_BITS

OPSET = 21
IR_VERSION = 10

CASTS_4_BITS_FROM = (1, 23)
"""Version from which ONNX Runtime casts INT4 and UINT4, and so unpacks weights of 4 bits."""

OLDEST = (1, 18)
"""Version from which ONNX Runtime loads ``OPSET`` and ``IR_VERSION``."""

PASSES: tuple[type[ir.passes.InPlacePass], ...] = (
    QuantizeWeightsPass,
    FoldBatchNormPass,
    CanonicalPoolPass,
    AbsorbClampPass,
    QuantizePixelsPass,
    QuantizeActivationsPass,
    ShareCodesPass,
    QuantizeScalarsPass,
    SeparateQuantizersPass,
    IntegerBiasPass,
    common.RemoveUnusedNodesPass,
    DropDefaultAttributesPass,
    NameOperatorsPass,
    PackWeightsPass,
    OwnCodesPass,
    ShortNamesPass,
)


def lower_for_onnxruntime(
    marked: ir.Model, *, metadata: Mapping[str, str], runtime_version: str = ""
) -> ir.Model:
    """Lower a marked graph, in place, and return it.

    Args:
        marked: What :func:`edgekd.export` wrote: a float graph with ``edgekd::FakeQuant`` marks.
        metadata: Written into the file: input size, colour order, resize, class names, spec digest.
        runtime_version: Of the ONNX Runtime that is to load it, such as 1.19.2; empty for a current one. One
            that cannot unpack 4 bits gets INT8 codes in their place.

    Raises:
        LowerError: If a mark cannot be expressed; names the mark. If that ONNX Runtime is too old.
    """
    packs = functools.partial(PackWeightsPass, file_bits(runtime_version))
    passes = [packs if lowering is PackWeightsPass else lowering for lowering in PASSES]
    return lowered_model(marked, passes, opset=OPSET, ir_version=IR_VERSION, metadata=metadata)


def file_bits(runtime_version: str) -> tuple[int, ...]:
    """Return the bits that codes may have in a file for an ONNX Runtime, 8 first; "" is a current one.

    Raises:
        LowerError: If it is too old for any engine.
    """
    found = tuple(int(number) for number in re.findall(r"\d+", runtime_version)[:2])
    if found and found < OLDEST:
        what = f"ONNX Runtime {runtime_version} is too old for integer engines"
        oldest = ".".join(map(str, OLDEST))
        raise LowerError(what, where="target.device", fix=f"install onnxruntime {oldest} or newer there")
    if not found or found >= CASTS_4_BITS_FROM:
        return FILE_BITS
    return tuple(bits for bits in FILE_BITS if bits != 4)
