"""The rule table: which operator becomes which integer kernel, on what condition, and what to tell the user.

One table, four readers: placement (where quantizers go), lowering (what is rewritten), the lint (what a
foreign graph does wrong) and the report (why an operator is float). ``tests/core/test_rules.py`` proves every
row on the real ONNX Runtime: the integer form appears where the condition holds, not where it is broken.
"""

from dataclasses import dataclass
from enum import StrEnum


class Role(StrEnum):
    """What placement does with an operator."""

    QUANTIZE = "quantize"  # its result starts a new integer grid
    SHARE = "share"  # its result stays on the grid of its input: it runs on the codes themselves
    ABSORB = "absorb"  # it runs inside the kernel of the operator before it
    DECOMPOSE = "decompose"  # it is written as operators of the other roles before quantizers are placed
    FLOAT = "float"  # no integer kernel exists; the closed list of operators that may stay float


@dataclass(frozen=True)
class Rule:
    """One row.

    Attributes:
        name: How code, tests and messages refer to the row.
        ops: ONNX operator types of the float graph that it speaks of.
        role: What placement does.
        integer_form: What ONNX Runtime runs instead; operator types of its optimised graph.
        condition: When the integer form is taken.
        advice: What to change if the operator runs in float.
        non_negative: True if the result is never negative; None if that depends on the input.
        quantized_reads: Whether its inputs are quantized under a profile that quantizes what kernels read.
    """

    name: str
    ops: tuple[str, ...]
    role: Role
    integer_form: tuple[str, ...]
    condition: str
    advice: str
    non_negative: bool | None = False
    quantized_reads: bool = False


RULES: tuple[Rule, ...] = (
    Rule(
        "pixels",
        ("Pixels",),
        Role.QUANTIZE,
        ("QLinearConv",),
        "images enter as uint8 NHWC and one scale and one zero point turn them into numbers",
        "fold mean and std into the first convolution, so that the pixel grid is the input quantizer",
    ),
    Rule(
        "conv",
        ("Conv",),
        Role.QUANTIZE,
        ("QLinearConv",),
        "input, weights and result are quantized, the result by one quantizer that every consumer shares, an "
        "int32 bias with scale x_scale * w_scale",
        "quantize the weights, the bias with scale x_scale * w_scale, and give the convolution one output "
        "quantizer; two quantizers, or a consumer of the unquantized result, keep it in float",
        quantized_reads=True,
    ),
    Rule(
        "gemm",
        ("Gemm",),
        Role.QUANTIZE,
        ("QGemm",),
        "input and weights are quantized, their zero points written down, the bias is int32 with scale "
        "x_scale * w_scale; a layer with float output then runs in integers",
        "quantize the weights, write the zero points down, store the bias as int32 behind a DequantizeLinear "
        "with scale x_scale * w_scale, and let one quantizer or none read the result",
        quantized_reads=True,
    ),
    Rule(
        "matmul",
        ("MatMul",),
        Role.QUANTIZE,
        ("QLinearMatMul",),
        "both inputs and the result are quantized",
        "quantize both inputs and the result",
        quantized_reads=True,
    ),
    Rule(
        "batch_norm",
        ("BatchNormalization",),
        Role.ABSORB,
        ("QLinearConv",),
        "it follows a convolution or a linear layer that nothing else reads; its gain goes into the scale of "
        "each channel, the gain's sign into the codes, the rest into the bias",
        "place BatchNorm directly behind a convolution whose result nothing else reads: it folds into that",
    ),
    Rule(
        "relu",
        ("Relu",),
        Role.ABSORB,
        ("QLinearConv",),
        "the quantizer behind it stores 0 as the lowest code, so that clamping is the ReLU",
        "use uint8 with zero point 0 behind a ReLU; with int8 and zero point 0 the convolution runs in float",
        non_negative=True,
    ),
    Rule(
        "relu6",
        ("Clip",),
        Role.ABSORB,
        ("QLinearConv",),
        "the grid behind it ends at or below 6 (scale <= 6 / qmax), so that clamping is the ReLU6",
        "bound the learned scale to 6 / qmax; a grid that reaches beyond 6 keeps the convolution in float",
        non_negative=True,
    ),
    Rule(
        "relu_on_codes",
        ("Relu",),
        Role.SHARE,
        ("Clip",),
        "a ReLU that follows a quantizer is a clamp of the codes at the zero point",
        "clamp the codes (Clip on uint8) instead of the dequantized numbers",
        non_negative=True,
    ),
    Rule(
        "add",
        ("Add",),
        Role.QUANTIZE,
        ("QLinearAdd",),
        "both inputs and the result are quantized with one integer type",
        "quantize both inputs of the addition: the raw result of a convolution drags that one to float",
    ),
    Rule(
        "mul",
        ("Mul",),
        Role.QUANTIZE,
        ("QLinearMul",),
        "both inputs and the result are quantized with one integer type; one input may be broadcast, as the "
        "gate of squeeze-and-excite is",
        "quantize both inputs of the multiplication",
    ),
    Rule(
        "scalar_operand",
        ("Add", "Mul"),
        Role.QUANTIZE,
        ("QLinearAdd", "QLinearMul"),
        "a constant operand is stored as one code and a scale",
        "quantize constant operands as well: a float constant keeps the operator in float",
    ),
    Rule(
        "global_average_pool",
        ("GlobalAveragePool", "ReduceMean"),
        Role.QUANTIZE,
        ("QLinearGlobalAveragePool",),
        "written as GlobalAveragePool with quantized input and result",
        "use GlobalAveragePool with a quantizer behind it: ReduceMean has no integer kernel",
        non_negative=None,
        quantized_reads=True,
    ),
    Rule(
        "average_pool",
        ("AveragePool",),
        Role.QUANTIZE,
        ("QLinearAveragePool",),
        "input and result are quantized",
        "quantize the result of the pool",
        non_negative=None,
        quantized_reads=True,
    ),
    Rule(
        "max_pool",
        ("MaxPool",),
        Role.SHARE,
        ("MaxPool",),
        "it runs on the codes: input and result share one grid",
        "do not place a second quantizer with another scale behind the pool",
        non_negative=None,
    ),
    Rule(
        "slice_and_pad",
        ("Slice", "Pad"),
        Role.SHARE,
        ("Slice", "Pad"),
        "they run on the codes; padding writes the zero point",
        "move Slice and Pad in front of the DequantizeLinear: behind it, Pad runs in float",
        non_negative=None,
    ),
    Rule(
        "split",
        ("Split",),
        Role.SHARE,
        ("Split",),
        "it runs on the codes; every part keeps the grid",
        "move the Split in front of the DequantizeLinear",
        non_negative=None,
    ),
    Rule(
        "repeat",
        ("Expand", "Gather", "Resize"),
        Role.SHARE,
        ("Expand", "Gather", "Resize"),
        "they run on the codes: broadcasting, picking and nearest-neighbour resizing copy numbers",
        "move Expand, Gather and Resize in front of the DequantizeLinear; resize to the nearest neighbour",
        non_negative=None,
    ),
    Rule(
        "flatten",
        ("Flatten", "Reshape", "Squeeze", "Unsqueeze"),
        Role.SHARE,
        ("Reshape",),
        "it runs on the codes as a Reshape",
        "use Reshape on the codes: Flatten behind a DequantizeLinear keeps the next operator in float",
        non_negative=None,
    ),
    Rule(
        "transpose",
        ("Transpose",),
        Role.SHARE,
        ("Transpose",),
        "it runs on the codes",
        "move the Transpose in front of the DequantizeLinear",
        non_negative=None,
    ),
    Rule(
        "concat",
        ("Concat",),
        Role.QUANTIZE,
        ("QLinearConcat",),
        "every input and the result are quantized",
        "place a quantizer behind the concatenation",
        non_negative=None,
    ),
    Rule(
        "sigmoid",
        ("Sigmoid",),
        Role.QUANTIZE,
        ("QLinearSigmoid",),
        "input and result are quantized; it runs as a table of 256 entries",
        "quantize the result of the sigmoid as well",
        non_negative=True,
    ),
    Rule(
        "leaky_relu",
        ("LeakyRelu",),
        Role.QUANTIZE,
        ("QLinearLeakyRelu",),
        "input and result are quantized; it runs as a table of 256 entries",
        "quantize the result of the LeakyReLU, and what it reads",
    ),
    Rule(
        "softmax",
        ("Softmax",),
        Role.QUANTIZE,
        ("QLinearSoftmax",),
        "input and result are quantized, the result by a power of two (1 / 256 for 8 bits): the kernel "
        "rounds the reciprocal of its scale down to an integer",
        "quantize the result of the softmax as well, with scale 1 / 256",
        non_negative=True,
    ),
    Rule(
        "hard_sigmoid",
        ("HardSigmoid",),
        Role.DECOMPOSE,
        ("QLinearAdd", "QLinearMul"),
        "written as relu6(x + 3) * (1/6) with a quantizer at each step",
        "write it as relu6(x + 3) / 6 and quantize each step",
        non_negative=True,
    ),
    Rule(
        "hard_swish",
        ("HardSwish",),
        Role.DECOMPOSE,
        ("QLinearAdd", "QLinearMul"),
        "written as x * (relu6(x + 3) * (1/6)) with a quantizer at each step",
        "write it as x * relu6(x + 3) / 6 and quantize each step",
    ),
    Rule(
        "silu",
        ("Silu", "Swish"),
        Role.DECOMPOSE,
        ("QLinearSigmoid", "QLinearMul"),
        "written as x * sigmoid(x) with a quantizer behind the sigmoid as well",
        "write it as x * sigmoid(x) and quantize the sigmoid's result",
    ),
    Rule(
        "one_quantizer",
        ("QuantizeLinear",),
        Role.QUANTIZE,
        ("QLinearMul",),
        "a tensor passes one quantizer, and fewer levels on it are a Clip of the codes; where the grid has "
        "to change, a product with 1 stands between the two",
        "merge quantizers in sequence, or keep them apart by a product with 1: ONNX Runtime silently deletes "
        "one of two; merge those that read one tensor, they keep its producer in float",
    ),
    Rule(
        "overflow",
        ("QuantizeLinear",),
        Role.QUANTIZE,
        ("QLinearAdd", "QLinearMul"),
        "the largest number that the operands can hold is at most 2**31 steps of the result's grid: the "
        "kernels turn it into an int32 before they clamp",
        "look at the losses: numbers of so different sizes come from a training that diverged (lower its "
        "learning_rate) or has hardly begun (train for more epochs)",
    ),
    Rule(
        "cast_weights",
        ("DequantizeLinear",),
        Role.QUANTIZE,
        ("QLinearConv", "QGemm"),
        "weights of 4 bits are cast to INT8 before they are dequantized: the Cast is folded at load",
        "put a Cast to INT8 between the codes of the weights and their DequantizeLinear: kernels of integers "
        "read INT8 alone",
    ),
    Rule(
        "saturation",
        ("DequantizeLinear",),
        Role.QUANTIZE,
        ("QLinearConv", "QGemm"),
        "no two neighbouring weight codes add up beyond 128, or the CPU sums products in 32 bits, as VNNI "
        "and ARM do",
        "keep |w| <= 64, as kind lsq does at 7 bits, or, on ONNX Runtime, set session.x64quantprecision=1, "
        "as edgekd's sessions do: x86 without VNNI clips sums of two products",
    ),
    Rule(
        "float_only",
        ("LayerNormalization", "SkipLayerNormalization", "Gelu", "FastGelu", "BiasGelu"),
        Role.FLOAT,
        (),
        "no integer kernel on this runtime: this is the closed list of operators that may stay float",
        "it stays float; its share of the time is reported",
    ),
)


def rule(name: str) -> Rule:
    """Return the row called ``name``; a KeyError is a bug of the caller."""
    return _BY_NAME[name]


def rules_for(op_type: str) -> tuple[Rule, ...]:
    """Return every row that speaks of the ONNX operator type ``op_type``."""
    return tuple(row for row in RULES if op_type in row.ops)


def shares_grid(op_type: str) -> bool:
    """Whether an operator of ``op_type`` can run on the codes of its input."""
    return any(row.role is Role.SHARE for row in rules_for(op_type))


def may_be_float(op_type: str) -> bool:
    """Whether ``op_type`` is on the closed list of operators that may stay float."""
    return any(row.role is Role.FLOAT for row in rules_for(op_type))


def explain_float(op_type: str) -> str:
    """Say in one sentence why an operator of ``op_type`` may run in float and what to change."""
    rows = rules_for(op_type)
    if not rows:
        return f"no rule gives {op_type} an integer form"
    return "; or ".join(f"{row.advice} [{row.name}]" for row in rows)


_BY_NAME = {row.name: row for row in RULES}
