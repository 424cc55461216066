"""What TensorRT demands of a Q/DQ graph, what else it does, and what to tell the user.

TensorRT has no table of integer forms as ONNX Runtime has: it fuses what stands between quantizers as it
likes. These rows say what it refuses, misreads or runs in float. ``seen`` names the version and what it did;
``tests/lower/test_tensorrt_lint.py`` repeats it on the real TensorRT-RTX, whose parser and builder need no GPU.
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
        "TensorRT-RTX 1.7: uint8, and a QuantizeLinear without zero point, which is uint8, are read as int8, the "
        "first with a warning; other zero points than 0 are refused",
    ),
    TensorrtRule(
        "relu_range",
        "the codes of a tensor without negative numbers lie in 0..127",
        "train with profile tensorrt or portable: their grids behind a ReLU end at code 127, not 255",
        "TensorRT-RTX 1.7: uint8 with zero point 0 is read as int8 with a warning, so that codes above 127 are "
        "clipped: half of the range",
    ),
    TensorrtRule(
        "positive_scale",
        "scales are positive constants, one for a tensor of activations, one for each output channel of weights",
        "turn the signs of the codes instead of the scale, give a dead channel codes 0 and scale 1, and use one "
        "scale for a tensor of activations",
        "TensorRT-RTX 1.7: a scale below or equal to 0 is refused; a vector of scales for activations, or one "
        "computed at run time, is built, and may run in float",
    ),
    TensorrtRule(
        "float_bias",
        "biases are float",
        "store the bias as float: TensorRT adds it to the rescaled sum",
        "TensorRT-RTX 1.7: a DequantizeLinear of int32 is refused",
    ),
    TensorrtRule(
        "int8_weights",
        "weights are INT8 initializers that a DequantizeLinear reads",
        "store the codes as INT8, also those of few bits: TensorRT has no faster kernel for them",
        "TensorRT-RTX 1.7: INT4 behind a Cast, a convolution with INT4 weights, INT2 and BitShift are refused",
    ),
    TensorrtRule(
        "both_quantized",
        "input and weights of a convolution or matrix product are both quantized",
        "quantize both, or neither",
        "TensorRT-RTX 1.7: built without a word; the weights are dequantized and all of it runs in float",
    ),
    TensorrtRule(
        "one_quantizer",
        "a tensor passes one quantizer",
        "merge the two quantizers: both are executed, and the second rounds what the first has rounded",
        "TensorRT-RTX 1.7: built without a word, nothing is merged",
    ),
    TensorrtRule(
        "residual_add",
        "of a sum with a convolution's result only the other summand is quantized",
        "quantize the skip connection only, as profile tensorrt does: then convolution and sum are one kernel",
        "TensorRT-RTX 1.7: built without a word; the convolution's result is rounded and stored before the sum",
    ),
    TensorrtRule(
        "pixels",
        "uint8 images are cast to float first",
        "cast the image to float, then transpose: uint8 is a type of inputs and outputs only",
        "TensorRT-RTX 1.7: a Transpose of uint8 is refused",
    ),
    TensorrtRule(
        "pixel_shift",
        "pixels become int8 by subtracting 128; what that shifts goes into the bias of the first layer",
        "let the image enter a convolution or a linear layer first, or train with pixel zero point 128, that is "
        "mean 0.5",
        "TensorRT-RTX 1.7: centred codes such as -114..141 have no form: zero points are 0",
    ),
    TensorrtRule(
        "opset",
        "operators are those of ONNX up to opset 20, in ONNX's own domain",
        "export with opset 20 or lower and without operators of other domains",
        "TensorRT 10 reads opset 9 to 20, TensorRT 11 to 25; TensorRT-RTX 1.7 refuses operators of domains that "
        "it does not know",
    ),
)


def tensorrt_rule(name: str) -> TensorrtRule:
    """Return the row called ``name``; a KeyError is a bug of the caller."""
    return _BY_NAME[name]


_BY_NAME = {row.name: row for row in TENSORRT_RULES}
