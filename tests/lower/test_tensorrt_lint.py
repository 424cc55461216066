"""Every finding is checked against the real TensorRT-RTX: what is planted is found, and is treated so."""

from dataclasses import dataclass
from typing import Literal

import ml_dtypes
import numpy as np
import onnx_ir as ir
import pytest

from edgekd.core.tensorrt_rules import TENSORRT_RULES, tensorrt_rule
from edgekd.lower.tensorrt_lint import lint_tensorrt

F, S, U = np.float32, np.int8, np.uint8
RNG = np.random.default_rng(0)
CODES = RNG.integers(-7, 8, (4, 4, 1, 1), S)
CONSTANTS = {
    "s": F(0.03),
    "s2": F(0.05),
    "z": S(0),
    "z5": S(5),
    "zu": U(0),
    "z128": U(128),
    "wq": CODES,
    "w4": CODES.astype(ml_dtypes.int4),
    "wu": CODES.view(U),
    "zeros": np.zeros(4, U),
    "signed_zeros": np.zeros(4, S),
    "four": U(4),
    "ws": F([0.02, 0.03, 0.02, 0.01]),
    "dead": F([0.02, 0, 0.02, 0.01]),
    "turned": F([0.02, -0.01, 0.02, 0.01]),
    "wf": RNG.standard_normal((4, 4, 1, 1), F),
    "b": F([1, 2, 3, 4]),
    "bq": RNG.integers(-9, 9, 4, np.int32),
    "zero": F(0),
    "high": F(255 * 0.05),
    "fit": F(127 * 0.05),
    "m4": RNG.integers(-7, 8, (8, 8), S).astype(ml_dtypes.int4),
    "m8": RNG.integers(-7, 8, (8, 8), S),
    "ms": np.full(8, 0.1, F),
}
X = "q = QuantizeLinear(a, s, z) x = DequantizeLinear(q, s, z)"
W = "w = DequantizeLinear<axis=0>(wq, ws)"
TO_Y = "y = Conv(d, w, b)"


def through(quantizer):
    return f"{X} {W} c = Conv(x, w, b) {quantizer} {TO_Y}"


Q2 = "q2 = QuantizeLinear(r, s2, z) d = DequantizeLinear(q2, s2, z)"
GOOD = {
    "relu": through(f"r = Relu(c) {Q2}"),
    "relu6": through(f"r = Clip(c, zero, fit) {Q2}"),
    "skip": f"{X} {W} c = Conv(x, w, b) r = Add(c, x) {Q2} {TO_Y}",
    "moved": f"{X} {W} d = MaxPool<kernel_shape=[2,2]>(x) {TO_Y}",
    "two inputs": f"{X} t = Transpose<perm=[0,1,3,2]>(x) y = MatMul(x, t)",
    "product": f"{X} w = DequantizeLinear<axis=-1>(m8, ms) y = MatMul(x, w)",
    "pixels": "f = Cast<to=1>(u) q = QuantizeLinear(f, s, z) y = DequantizeLinear(q, s, z)",
}


@dataclass(frozen=True)
class Planted:
    """One mistake.

    Attributes:
        row: Of the findings.
        severity: Of all findings; ``refused`` if and only if TensorRT-RTX makes no engine.
        body: ONNX text that makes ``y`` of ``a``.
        complaint: Part of what TensorRT-RTX says; empty if it says nothing.
        opset: Version of the operators.
    """

    row: str
    severity: Literal["float", "wrong", "risk", "refused"]
    body: str
    complaint: str = ""
    opset: int = 20


def conv(quantizers, weights=W, bias="b"):
    return f"{quantizers} {weights} y = Conv(x, w, {bias})"


PLANTED = {
    "uint8": Planted(
        "int8_codes",
        "wrong",
        conv("q = QuantizeLinear(a, s, zu) x = DequantizeLinear(q, s, zu)"),
        "Defaulting to INT8",
    ),
    "no zero point": Planted(
        "int8_codes", "wrong", conv("q = QuantizeLinear(a, s) x = DequantizeLinear(q, s)")
    ),
    "zero point 128": Planted(
        "int8_codes",
        "refused",
        conv("q = QuantizeLinear(a, s, z128) x = DequantizeLinear(q, s, z128)"),
        "Non-zero zero point",
    ),
    "zero point 5": Planted(
        "int8_codes",
        "refused",
        conv("q = QuantizeLinear(a, s, z5) x = DequantizeLinear(q, s, z5)"),
        "Non-zero zero point",
    ),
    "uint8 behind a relu": Planted(
        "relu_range",
        "wrong",
        through("r = Relu(c) q2 = QuantizeLinear(r, s2, zu) d = DequantizeLinear(q2, s2, zu)"),
        "Defaulting to INT8",
    ),
    "clip to code 255": Planted("relu_range", "risk", through(f"r = Clip(c, zero, high) {Q2}")),
    "negative scale": Planted(
        "positive_scale",
        "refused",
        conv(X, "w = DequantizeLinear<axis=0>(wq, turned)"),
        "must all be positive",
    ),
    "scale 0": Planted(
        "positive_scale", "refused", conv(X, "w = DequantizeLinear<axis=0>(wq, dead)"), "must all be positive"
    ),
    "computed scale": Planted(
        "positive_scale",
        "risk",
        f"t = Mul(s, s2) q = QuantizeLinear(a, t, z) x = DequantizeLinear(q, s, z) {W} y = Conv(x, w, b)",
    ),
    "a scale for each channel": Planted(
        "positive_scale",
        "float",
        conv(
            "q = QuantizeLinear<axis=1>(a, ws, signed_zeros) "
            "x = DequantizeLinear<axis=1>(q, ws, signed_zeros)"
        ),
    ),
    "integer bias": Planted(
        "float_bias",
        "refused",
        conv(X, f"{W} bd = DequantizeLinear<axis=0>(bq, ws)", "bd"),
        "type Int32 but must have type",
    ),
    "uint8 weights": Planted(
        "int8_weights",
        "refused",
        conv(X, "w = DequantizeLinear<axis=0>(wu, ws, zeros)"),
        "unsupported input type of UINT8",
    ),
    "INT4 behind a cast": Planted(
        "int8_weights",
        "refused",
        conv(X, "w8 = Cast<to=3>(w4) w = DequantizeLinear<axis=0>(w8, ws)"),
        "has datatype Int4 but is not consumed",
        opset=21,
    ),
    "INT4 convolution": Planted(
        "int8_weights", "refused", conv(X, "w = DequantizeLinear<axis=0>(w4, ws)"), "W.type()", opset=21
    ),
    "INT4 convolution of floats": Planted(
        "int8_weights", "float", "w = DequantizeLinear<axis=0>(w4, ws) y = Conv(a, w, b)", opset=21
    ),
    "shifted bits": Planted(
        "int8_weights",
        "refused",
        conv(
            X,
            'u8 = BitShift<direction="RIGHT">(wu, four) w8 = Cast<to=3>(u8) '
            "w = DequantizeLinear<axis=0>(w8, ws)",
        ),
        "checkBitShift",
    ),
    "scales of input channels": Planted(
        "weight_axis", "float", conv(X, "w = DequantizeLinear<axis=1>(wq, ws)")
    ),
    "no axis": Planted("weight_axis", "float", conv(X, "w = DequantizeLinear(wq, ws)")),
    "scales along a sum": Planted(
        "weight_axis", "float", f"{X} w = DequantizeLinear<axis=0>(m8, ms) y = MatMul(x, w)"
    ),
    "float weights": Planted("both_quantized", "float", f"{X} y = Conv(x, wf, b)"),
    "float input": Planted("both_quantized", "float", f"{W} y = Conv(a, w, b)"),
    "average in between": Planted(
        "both_quantized", "float", f"{X} {W} d = AveragePool<kernel_shape=[2,2]>(x) {TO_Y}"
    ),
    "two quantizers": Planted(
        "one_quantizer", "risk", f"{X} {W} r = MaxPool<kernel_shape=[2,2]>(x) {Q2} {TO_Y}"
    ),
    "both summands": Planted(
        "residual_add",
        "risk",
        f"{X} {W} r = Conv(x, w, b) {Q2} y = Add(d, x)",
    ),
    "transposed pixels": Planted(
        "pixels",
        "refused",
        "t = Transpose<perm=[0,1,3,2]>(u) y = Cast<to=1>(t)",
        "has type UInt8 but must have",
    ),
    "dequantized pixels": Planted(
        "pixels", "refused", "y = DequantizeLinear(u, s, zu)", "unsupported input type of UINT8"
    ),
    "integer operator": Planted(
        "operators",
        "refused",
        "q = QuantizeLinear(a, s, z) i = ConvInteger(q, wq) y = Cast<to=1>(i)",
        "checkConvInteger",
    ),
    "foreign operator": Planted("operators", "refused", "y = other.Swirl(a)", "Plugin not found"),
    "foreign operator of a known name": Planted("operators", "risk", "y = other.Gelu(a)"),
    "new opset": Planted("operators", "risk", "y = Relu(a)", opset=21),
}


@pytest.fixture
def model(onnx_model):
    """Return a function that builds a model of ``a``, float, or ``u``, uint8."""

    def build(body, opset=20):
        given = "uint8[2,4,8,8] u" if "(u)" in body or "(u," in body else "float[2,4,8,8] a"
        made = onnx_model(
            given, "float[n,c,h,w] y", body, CONSTANTS, domain="other" if "other." in body else ""
        )
        made.opset_import[0].version = opset
        return made

    return build


@pytest.mark.parametrize("name", GOOD)
def test_lint_tensorrt_finds_nothing_in_what_tensorrt_takes(name, model, build_with_rtx):
    made = model(GOOD[name])
    assert lint_tensorrt(ir.from_proto(made)) == ()
    built = build_with_rtx(made)
    assert built.engine_bytes
    assert built.complaints == ()


@pytest.mark.parametrize("name", PLANTED)
def test_lint_tensorrt_names_the_row_of_each_mistake(name, model):
    planted = PLANTED[name]
    found = lint_tensorrt(ir.from_proto(model(planted.body, planted.opset)))
    if planted.opset > 20 and name != "new opset":
        assert (found[0].rule, found[0].severity) == ("operators", "risk")
        found = found[1:]
    assert {(finding.rule, finding.severity) for finding in found} == {(planted.row, planted.severity)}
    assert {finding.fix for finding in found} == {tensorrt_rule(planted.row).advice}
    assert all(finding.node and finding.what for finding in found)


@pytest.mark.parametrize("name", PLANTED)
def test_tensorrt_does_what_the_severity_says(name, model, build_with_rtx):
    planted = PLANTED[name]
    built = build_with_rtx(model(planted.body, planted.opset))
    assert bool(built.engine_bytes) == (planted.severity != "refused"), built.complaints
    assert bool(built.complaints) == bool(planted.complaint)
    assert planted.complaint in "\n".join(built.complaints)


def test_every_row_has_a_case():
    rows = {row.name for row in TENSORRT_RULES}
    assert {planted.row for planted in PLANTED.values()} == rows - {"pixel_shift"}  # a graph of edgekd's own


def test_int4_weights_of_a_matrix_product_of_floats_are_fine(model, build_with_rtx):
    made = model("w = DequantizeLinear<axis=1>(m4, ms) y = MatMul(a, w)", opset=21)
    assert [finding.rule for finding in lint_tensorrt(ir.from_proto(made))] == ["operators"]
    assert build_with_rtx(made).engine_bytes
