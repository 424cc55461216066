"""What TensorRT demands of a Q/DQ graph, what it does otherwise, and what to tell the user.

TensorRT has no table of integer forms as ONNX Runtime has: it fuses what stands between quantizers as it
likes. These rows say what it refuses, misreads, or by NVIDIA's guide to quantized types runs slower.
``seen`` is what one version did where the condition is broken; ``tests/lower/test_tensorrt_lint.py``
repeats it on the real TensorRT-RTX, whose parser and builder need no GPU.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class TensorrtRule:
    """One row.

    Attributes:
        name: How code, tests and messages refer to the row.
        condition: What TensorRT takes.
        advice: What to change otherwise.
        seen: What which version did where the condition is broken.
    """

    name: str
    condition: str
    advice: str
    seen: str


TENSORRT_RULES: tuple[TensorrtRule, ...] = (
    TensorrtRule(
        "int8_codes",
        "activations are int8, the zero point is written down and 0, and codes lie in -128..127",
        "train with profile tensorrt or portable: their codes are int8 with zero point 0",
        "TensorRT-RTX 1.7.1 reads uint8 as int8 with a warning, and so without a word a QuantizeLinear that "
        "has no zero point, which is uint8 in ONNX; it refuses zero points other than 0",
    ),
    TensorrtRule(
        "relu_range",
        "the codes of a tensor without negative numbers lie in 0..127",
        "train with profile tensorrt or portable: their grids behind a ReLU end at code 127, not 255",
        "TensorRT-RTX 1.7.1 reads uint8 with zero point 0 as int8 with a warning, whose codes end at half",
    ),
    TensorrtRule(
        "positive_scale",
        "scales are positive constants: one of a tensor of activations, one of each output channel of "
        "weights",
        "turn the signs of the codes instead of the scale, give a dead channel codes 0 and scale 1, and a "
        "tensor of activations one scale",
        "TensorRT-RTX 1.7.1 refuses scales of 0 and below; it builds a vector of scales for activations, "
        "and one that is computed at run time",
    ),
    TensorrtRule(
        "float_bias",
        "biases are float",
        "store the bias as float: TensorRT adds it to the rescaled sum",
        "TensorRT-RTX 1.7.1 refuses a DequantizeLinear of int32",
    ),
    TensorrtRule(
        "int8_weights",
        "weights are INT8 initializers that a DequantizeLinear reads",
        "store the codes as INT8, also those of few bits: no convolution runs faster with fewer",
        "TensorRT-RTX 1.7.1 refuses UINT8, INT2, INT4 behind a Cast, INT4 in a convolution with quantized "
        "input, and BitShift; it builds INT4 in a convolution with float input",
    ),
    TensorrtRule(
        "weight_axis",
        "scales of weights lie along the output channels: axis 0 of a convolution's, the last axis of a "
        "matrix product's, the first one of a Gemm's with transB",
        "write the axis of the output channels at the DequantizeLinear of the weights: without one, ONNX "
        "means axis 1",
        "TensorRT-RTX 1.7.1 builds another axis without a word and computes the layer in float",
    ),
    TensorrtRule(
        "both_quantized",
        "input and weights of a convolution or matrix product are both quantized, or neither",
        "quantize both, or neither",
        "TensorRT-RTX 1.7.1 builds it without a word; what is quantized alone is dequantized for a float "
        "kernel",
    ),
    TensorrtRule(
        "one_quantizer",
        "a tensor passes one quantizer",
        "merge the two quantizers: both are executed, and the second rounds what the first has rounded",
        "TensorRT-RTX 1.7.1 builds it without a word",
    ),
    TensorrtRule(
        "residual_add",
        "where a convolution's result is added to another tensor, only that other one is quantized",
        "quantize the skip connection only, as profile tensorrt does: convolution and sum can then be one "
        "kernel",
        "TensorRT-RTX 1.7.1 builds it without a word; the convolution's result is rounded before it is added",
    ),
    TensorrtRule(
        "pixels",
        "a uint8 image goes into a Cast to float first",
        "cast the image to float, then transpose or quantize it: uint8 is a type of inputs and outputs only",
        "TensorRT-RTX 1.7.1 refuses a Transpose and a DequantizeLinear of uint8",
    ),
    TensorrtRule(
        "pixel_shift",
        "pixels become codes by subtracting 128; what that shifts goes into the bias of the first layer",
        "let the image enter a convolution or linear layer with weights of its own and explicit padding, or "
        "use the pixel zero point 128 (mean 0.5)",
        "no version has zero points, so centred codes such as -114..141 have no form",
    ),
    TensorrtRule(
        "operators",
        "operators are the float ones of ONNX's own domain, of opset 9 to 20",
        "export float operators between QuantizeLinear and DequantizeLinear, with opset 20 or lower",
        "TensorRT 10 documents opset 9 to 20, TensorRT 11 9 to 25; TensorRT-RTX 1.7.1 refuses QLinearConv, "
        "ConvInteger, DynamicQuantizeLinear and names that it does not know, and does not look at domains",
    ),
)


def tensorrt_rule(name: str) -> TensorrtRule:
    """Return the row called ``name``; a KeyError is a bug of the caller."""
    return _BY_NAME[name]


_BY_NAME = {row.name: row for row in TENSORRT_RULES}
