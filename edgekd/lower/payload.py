"""Payload: the bytes that a quantized network needs whatever the format, to hold a file's size against."""

from dataclasses import dataclass

import onnx_ir as ir

from edgekd.lower.graph import array, is_op


@dataclass(frozen=True)
class Payload:
    """What a lowered file has to hold whatever the format.

    Attributes:
        codes_bytes: Packed weight codes.
        channels: Output channels of all quantized layers; each costs 12 bytes: scale, bias and bias scale.
    """

    codes_bytes: int
    channels: int

    @property
    def size_bytes(self) -> int:
        """Codes and 12 bytes per output channel."""
        return self.codes_bytes + 12 * self.channels


def payload(model: ir.Model) -> Payload:
    """Count what the quantized layers of a lowered graph have to store."""
    codes_bytes = channels = 0
    for node in model.graph:
        if not is_op(node, "Conv", "Gemm", "MatMul"):
            continue
        dequantize = node.inputs[1].producer() if node.inputs[1] is not None else None
        codes = array(dequantize.inputs[0]) if dequantize is not None else None
        if codes is not None and dequantize is not None:
            scale = array(dequantize.inputs[1])
            codes_bytes += codes.nbytes
            channels += 1 if scale is None else scale.size
    return Payload(codes_bytes, channels)
