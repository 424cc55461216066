"""Every finding is checked against the real ONNX Runtime: what is planted is found, and is true."""

import subprocess
from dataclasses import dataclass

import ml_dtypes
import numpy as np
import onnx_ir as ir
import pytest

from edgekd.core.rules import rule
from edgekd.lower.lint import lint
from edgekd.runtimes.coverage import coverage
from edgekd.runtimes.onnx_runtime import open_session, optimized_graph, run_all, tap_everything

F, U = np.float32, np.uint8
RNG = np.random.default_rng(0)
X = np.random.default_rng(1).normal(0, 2, (2, 4, 8, 8)).astype(F)
WS, GS = F([0.002, 0.003, 0.002, 0.001]), F([0.002, 0.001, 0.003])
CONSTANTS = {
    "s": F(0.03),
    "s2": F(0.05),
    "s4": F(0.4),
    "s6": F(6 / 255),
    "s_dead": F(2.0**-40),
    "s_square": F(5e3),
    "s_large": F(4e5),
    "s_sum": F(5e5),
    "s_mean": F(1e8),
    "z": U(128),
    "z0": U(0),
    "int0": np.int8(0),
    "intmin": np.int8(-128),
    "wq": RNG.integers(-60, 61, (4, 4, 1, 1), np.int8),
    "ws": WS,
    "bq": RNG.integers(20000, 40000, 4, np.int32),
    "bs": F(0.03) * WS,
    "bs_near": F(0.03) * WS * F(1.015),
    "bs_far": F(0.03) * WS * F(4),
    "wf": RNG.standard_normal((4, 4, 1, 1), F),
    "gq": RNG.integers(-60, 61, (3, 256), np.int8),
    "gs": GS,
    "gz": np.zeros(3, np.int8),
    "gbq": np.int32([1000, 2000, 3000]),
    "gbs": F(0.03) * GS,
    "gbs_far": F(0.03) * GS * F(4),
    "gbf": F([1, 2, 3]),
    "ms": F(0.002),
    "mq": RNG.integers(-60, 61, (8, 8), np.int8),
    "mf": RNG.standard_normal((8, 8), F),
    "mbf": np.arange(8, dtype=F),
    "f4": F([1, 2, 3, 4]),
    "zero": F(0),
    "six": F(6),
    "rows": np.int64([2, -1]),
    "w4q": np.resize(np.int8([7, -3, 1, -7, 2]), (4, 4, 1, 1)).astype(ml_dtypes.int4),
    "axes": np.int64([2, 3]),
    "around": np.int64([0, 0, 1, 1, 0, 0, 1, 1]),
    "channels": np.int64([0, 1, 0, 0, 0, 1, 0, 0]),
}
PARTS = {
    "w": "w = DequantizeLinear<axis=0>(wq, ws)",
    "w4": "w4 = DequantizeLinear<axis=0>(w4q, ws)",
    "b": "b = DequantizeLinear<axis=0>(bq, bs)",
    "b_near": "b_near = DequantizeLinear<axis=0>(bq, bs_near)",
    "b_far": "b_far = DequantizeLinear<axis=0>(bq, bs_far)",
    "g": "g = DequantizeLinear<axis=0>(gq, gs, gz)",
    "g_bare": "g_bare = DequantizeLinear<axis=0>(gq, gs)",
    "gb": "gb = DequantizeLinear<axis=0>(gbq, gbs)",
    "gb_far": "gb_far = DequantizeLinear<axis=0>(gbq, gbs_far)",
    "m": "m = DequantizeLinear(mq, ms, int0)",
    "r": "r = Reshape(xd, rows)",
}


def qdq(before, after, scale="s2", zero="z"):
    """Quantize ``before`` to ``after``."""
    grid = f"{scale}, {zero}"
    return (
        f"{after}_codes = QuantizeLinear({before}, {grid}) {after} = DequantizeLinear({after}_codes, {grid})"
    )


def scaled(scale):
    """Read the input's codes as larger numbers.

    In steps of 0.05, of which an int32 counts 2^31 = 2.15e9: twice 127 codes of 5e5 are 2.54e9, of 4e5
    2.03e9; the square of 127 codes of 5e3 is 8.1e12; a mean of two codes of 1e8 is 4e9.
    """
    return f"h = DequantizeLinear(xd_codes, {scale}, z)"


@pytest.fixture(scope="module")
def model(onnx_model):
    """Return a function that builds a model from what it makes of the dequantized input ``xd``."""

    def build(body):
        used = [
            text
            for name, text in PARTS.items()
            if f" {name}," in body or f" {name})" in body or f"({name}," in body
        ]
        outputs = ", ".join(f"float {name}" for name in ("y", "y2") if f"{name} = " in body)
        return onnx_model(
            "float[2,4,8,8] x", outputs, f"{qdq('x', 'xd', 's')} {' '.join(used)} {body}", CONSTANTS
        )

    return build


def run(model):
    """Return the operators that ONNX Runtime runs in float, and whether its results are what is written."""
    serialized = model.SerializeToString()
    optimized = optimized_graph(serialized)
    found = coverage(optimized, {"x": X, **tap_everything(optimized, {"x": X})})
    written, computed = (run_all(open_session(serialized, optimize=plan), {"x": X}) for plan in (False, True))
    off = max(np.mean(np.abs(written[name] - computed[name]) > 1e-4) for name in written)
    return [fallback.op for fallback in found.fallbacks], off < 0.005


@dataclass(frozen=True)
class Mistake:
    """Operators that hold one mistake, the row and the operator that it is found at, and what it does."""

    body: str
    rule: str
    node: str
    severity: str = "float"


CONV = "c = Conv(xd, w, b)"
IN_SEQUENCE = f"{CONV} {qdq('c', 'd')} {qdq('d', 'y', 's4')}"
MISTAKES = {
    "weights of 4 bits": Mistake(f"c = Conv(xd, w4, b) {qdq('c', 'y')}", "cast_weights", "c"),
    "two quantizers in sequence": Mistake(IN_SEQUENCE, "one_quantizer", "y_codes", "wrong"),
    "another reader between": Mistake(f"{IN_SEQUENCE} y2 = Tanh(d)", "one_quantizer", "y_codes"),
    "another type": Mistake(
        f"{CONV} {qdq('c', 'd')} {qdq('d', 'y', 's4', 'int0')}", "one_quantizer", "y_codes"
    ),
    "a pool between": Mistake(
        f"p = MaxPool<kernel_shape=[2,2]>(xd) {qdq('p', 'y')}", "one_quantizer", "y_codes"
    ),
    "two quantizers of a result": Mistake(
        f"{CONV} {qdq('c', 'y')} {qdq('c', 'y2', 's4')}", "one_quantizer", "c"
    ),
    "two quantizers of a sum": Mistake(
        f"a = Add(xd, xd) {qdq('a', 'y')} {qdq('a', 'y2', 's4')}", "one_quantizer", "a"
    ),
    "relu on int8": Mistake(f"{CONV} a = Relu(c) {qdq('a', 'y', zero='int0')}", "relu", "a"),
    "relu of a sum": Mistake(f"c = Add(xd, xd) a = Relu(c) {qdq('a', 'y')}", "relu", "a"),
    "relu of a linear layer": Mistake(
        f"c = Gemm<transB=1>(r, g, gb) a = Relu(c) {qdq('a', 'y')}", "relu", "a"
    ),
    "relu before a pool": Mistake(
        f"{CONV} a = Relu(c) p = MaxPool<kernel_shape=[2,2]>(a) {qdq('p', 'y')}", "relu", "a"
    ),
    "relu6": Mistake(f"{CONV} a = Clip(c, zero, six) {qdq('a', 'y', zero='z0')}", "relu6", "a"),
    "relu of numbers": Mistake(f"a = Relu(xd) {qdq('a', 'y', 's')}", "relu_on_codes", "a"),
    "sum with a raw result": Mistake(f"{CONV} a = Add(c, xd) {qdq('a', 'y')}", "add", "a"),
    "product with a raw result": Mistake(f"{CONV} a = Mul(xd, c) {qdq('a', 'y')}", "mul", "a"),
    "sum with a constant": Mistake(f"a = Add(xd, six) {qdq('a', 'y')}", "scalar_operand", "a"),
    "product of matrices and a constant": Mistake(
        f"c = MatMul(xd, m) a = Add(c, six) {qdq('a', 'y')}", "scalar_operand", "a"
    ),
    "result also read raw": Mistake(f"{CONV} {qdq('c', 'y')} y2 = Tanh(c)", "conv", "c"),
    "result is the output": Mistake("y = Conv(xd, w, b)", "conv", "y"),
    "result is flattened": Mistake(f"{CONV} a = Flatten(c) {qdq('a', 'y')}", "conv", "c"),
    "linear result also read raw": Mistake(
        f"c = Gemm<transB=1>(r, g, gb) {qdq('c', 'y')} y2 = Tanh(c)", "gemm", "c"
    ),
    "float bias": Mistake("y = Gemm<transB=1>(r, g, gbf)", "gemm", "y"),
    "float bias behind a product": Mistake("c = MatMul(xd, m) y = Add(c, mbf)", "gemm", "y"),
    "no zero point": Mistake("y = Gemm<transB=1>(r, g_bare, gb)", "gemm", "y"),
    "bias scale of a linear layer": Mistake("y = Gemm<transB=1>(r, g, gb_far)", "gemm", "y", "wrong"),
    "bias scale": Mistake(f"c = Conv(xd, w, b_far) {qdq('c', 'y')}", "conv", "c"),
    "bias scale nearly right": Mistake(f"c = Conv(xd, w, b_near) {qdq('c', 'y')}", "conv", "c", "wrong"),
    "float weights": Mistake(f"c = Conv(xd, wf) {qdq('c', 'y')}", "conv", "c", "wrong"),
    "float matrix": Mistake(f"c = MatMul(xd, mf) {qdq('c', 'y')}", "matmul", "c"),
    "batch norm": Mistake(
        f"{CONV} n = BatchNormalization(c, f4, f4, f4, f4) {qdq('n', 'y')}", "batch_norm", "n"
    ),
    "mean": Mistake(f"a = ReduceMean(xd, axes) {qdq('a', 'y')}", "global_average_pool", "a"),
    "pool without a quantizer": Mistake("y = GlobalAveragePool(xd)", "global_average_pool", "y"),
    "flatten": Mistake("f = Flatten(xd) y = Gemm<transB=1>(f, g, gb)", "flatten", "f"),
    "split": Mistake(
        f"a, other = Split<num_outputs=2, axis=2>(xd) c = Conv(a, w, b) {qdq('c', 'y')}", "split", "a"
    ),
    "pad of channels": Mistake(f"p = Pad(xd, channels) a = Add(p, p) {qdq('a', 'y')}", "slice_and_pad", "p"),
    "pad": Mistake(f"p = Pad(xd, around) {qdq('p', 'y', 's')}", "slice_and_pad", "p"),
    "concat": Mistake(f"a = Concat<axis=2>(xd, xd) c = Conv(a, w, b) {qdq('c', 'y')}", "concat", "a"),
    "sigmoid": Mistake(f"a = Sigmoid(xd) c = Conv(a, w, b) {qdq('c', 'y')}", "sigmoid", "a"),
    "hard swish": Mistake(f"a = HardSwish(xd) {qdq('a', 'y')}", "hard_swish", "a"),
    "sum of huge numbers": Mistake(
        f"{scaled('s_sum')} a = Add(h, h) {qdq('a', 'y')}", "overflow", "a", "wrong"
    ),
    "product of huge numbers": Mistake(
        f"{scaled('s_square')} a = Mul(h, h) {qdq('a', 'y')}", "overflow", "a", "wrong"
    ),
    "mean of huge numbers": Mistake(
        f"{scaled('s_mean')} a = AveragePool<kernel_shape=[2,2]>(h) {qdq('a', 'y')}", "overflow", "a", "wrong"
    ),
}
SOUND = {
    "convolution": f"{CONV} {qdq('c', 'y')}",
    "one grid twice": f"{CONV} {qdq('c', 'd')} {qdq('d', 'y')}",
    "two equal quantizers": f"{CONV} {qdq('c', 'y')} {qdq('c', 'y2')}",
    "relu on uint8": f"{CONV} a = Relu(c) {qdq('a', 'y', zero='z0')}",
    "relu on the lowest int8": f"{CONV} a = Relu(c) {qdq('a', 'y', zero='intmin')}",
    "relu on no zero point": f"{CONV} a = Relu(c) q = QuantizeLinear(a, s) y = DequantizeLinear(q, s)",
    "relu before a pool": f"{CONV} a = Relu(c) p = MaxPool<kernel_shape=[2,2]>(a) {qdq('p', 'y', zero='z0')}",
    "relu6 up to 6": f"{CONV} a = Clip(c, zero, six) {qdq('a', 'y', 's6', 'z0')}",
    "result is reshaped": f"{CONV} a = Reshape(c, rows) {qdq('a', 'y')}",
    "float bias of a convolution": f"c = Conv(xd, w, f4) {qdq('c', 'y')}",
    "float result": "y = Gemm<transB=1>(r, g, gb)",
    "float bias, quantized result": f"c = Gemm<transB=1>(r, g, gbf) {qdq('c', 'y')}",
    "bias behind a product": f"c = MatMul(xd, m) a = Add(c, mbf) {qdq('a', 'y')}",
    "product of matrices": "y = MatMul(xd, m)",
    "pool of codes": f"a = MaxPool<kernel_shape=[2,2]>(xd) c = Conv(a, w, b) {qdq('c', 'y')}",
    "flatten on one grid": f"f = Flatten(xd) {qdq('f', 'd', 's')} y = Gemm<transB=1>(d, g, gb)",
    "pad of a convolution": f"p = Pad(xd, around) c = Conv(p, w, b) {qdq('c', 'y')}",
    "concat": f"a = Concat<axis=2>(xd, xd) {qdq('a', 'y')}",
    "product with zero": (
        f"{scaled('s_mean')} n = DequantizeLinear(z, s_mean, z) a = Mul(h, n) {qdq('a', 'y')}"
    ),
    "sum far beyond its grid": f"{scaled('s_large')} a = Add(h, h) {qdq('a', 'y')}",
}


@pytest.mark.parametrize("mistake", MISTAKES.values(), ids=MISTAKES)
def test_lint_finds_exactly_what_is_planted(mistake, model):
    (finding,) = lint(ir.from_proto(model(mistake.body)))
    assert (finding.rule, finding.node, finding.severity) == (mistake.rule, mistake.node, mistake.severity)
    assert finding.fix == rule(mistake.rule).advice
    assert finding.what


@pytest.mark.parametrize("mistake", MISTAKES.values(), ids=MISTAKES)
def test_finding_is_true_on_onnxruntime(mistake, model):
    floats, as_written = run(model(mistake.body))
    assert ("wrong" if not as_written else "float" if floats else "") == mistake.severity


@pytest.mark.parametrize("body", SOUND.values(), ids=SOUND)
def test_lint_finds_nothing_where_onnxruntime_runs_integers(body, model):
    assert run(model(body)) == ([], True)
    assert lint(ir.from_proto(model(body))) == ()


def test_a_sum_beyond_a_dead_grid_is_a_risk_and_no_mistake(model):
    """Twice 3.8 are 8.4e12 steps of 2^-40, but all of that grid's numbers are nearly 0."""
    body = f"a = Add(xd, xd) {qdq('a', 'y', 's_dead')}"
    (finding,) = lint(ir.from_proto(model(body)))
    assert (finding.rule, finding.node, finding.severity) == ("overflow", "a", "risk")


def test_lint_finds_nothing_but_risks_in_a_lowered_network(residual):
    assert residual.float_ops == []
    found = lint(ir.from_proto(residual.lowered))
    assert {(finding.rule, finding.severity) for finding in found} == {("saturation", "risk")}


def test_lint_finds_nothing_in_a_float_network(onnx_model):
    body = "c = Conv(x, wf) n = BatchNormalization(c, f4, f4, f4, f4) a = Clip(n, , six) y = Add(a, six)"
    assert lint(ir.from_proto(onnx_model("float[2,4,8,8] x", "float y", body, CONSTANTS))) == ()


def test_lint_claims_nothing_of_a_grid_that_is_computed(onnx_model):
    body = (
        "xq = QuantizeLinear(x, t, z) xd = DequantizeLinear(xq, t, z) w = DequantizeLinear(wq, s) "
        "c = Conv(xd, w) a = Relu(c) q = QuantizeLinear(a, t, z) y = DequantizeLinear(q, t, z)"
    )
    assert lint(ir.from_proto(onnx_model("float[2,4,8,8] x, float t", "float y", body, CONSTANTS))) == ()


def test_lint_changes_nothing(model):
    read = ir.from_proto(model(IN_SEQUENCE))
    before = ir.to_proto(read).SerializeToString()
    assert lint(read)
    assert ir.to_proto(read).SerializeToString() == before


# Saturation: without VNNI, 255 * 127 + 255 * 127 does not fit 16 bits.

SAME, OPPOSITE, SMALL = (
    np.resize(np.int8(pair), (16, 16, 1, 1)) for pair in ([127, 100], [127, -127], [64, 64])
)
DEPTHWISE = np.full((16, 1, 3, 3), 127, np.int8)
LAYERS = {"same": SAME, "opposite": OPPOSITE, "small": SMALL, "depthwise": DEPTHWISE}


def layer(onnx_model, codes):
    body = (
        "xd = DequantizeLinear(x, one, z0) w = DequantizeLinear(codes, one, int0) "
        f"c = Conv<group={16 // codes.shape[1]}>(xd, w) {qdq('c', 'y', 's')}"
    )
    constants = {**CONSTANTS, "one": F(1), "codes": codes, "s": F(5000)}
    return onnx_model("uint8[1,16,8,8] x", "float y", body, constants)


@pytest.mark.parametrize(("name", "count"), [("same", 16), ("opposite", 0), ("small", 0), ("depthwise", 0)])
def test_lint_names_layers_that_may_saturate(name, count, onnx_model):
    found = lint(ir.from_proto(layer(onnx_model, LAYERS[name])))
    what = f"{count} of 16 output channels add codes beyond 128"
    assert [(item.rule, item.node, item.severity, item.what) for item in found] == [
        ("saturation", "c", "risk", what)
    ] * bool(count)


@pytest.mark.parametrize(
    ("body", "codes"),
    [
        ("y = Gemm<transB=1>(xd, w)", [[100, 100, 0], [100, 0, 100]]),
        ("y = Gemm(xd, w)", [[100, 100], [100, 0], [0, 100]]),
        (
            "c = MatMul(xd, w) q = QuantizeLinear(c, s, z) y = DequantizeLinear(q, s, z)",
            [[100, 100], [100, 0], [0, 100]],
        ),
    ],
)
def test_lint_adds_weights_along_the_inputs_of_a_linear_layer(body, codes, onnx_model):
    """Inputs 0 and 1 are added first: 100 + 100 in the first of two outputs, 100 + 0 in the second."""
    start = "xd = DequantizeLinear(x, s, z) w = DequantizeLinear(codes, s, int0)"
    constants = {**CONSTANTS, "codes": np.int8(codes)}
    (found,) = lint(ir.from_proto(onnx_model("uint8[1,3] x", "float y", f"{start} {body}", constants)))
    assert found.what == "1 of 2 output channels add codes beyond 128"


@pytest.mark.qemu
def test_layers_that_may_saturate_do_so_without_vnni(qemu, onnx_model, tmp_path):
    script = (
        "import sys, numpy, onnxruntime\n"
        "x = numpy.full((1, 16, 8, 8), 255, numpy.uint8)\n"
        "for path in sys.argv[1:]:\n"
        "    (y,) = onnxruntime.InferenceSession(path).run(None, {'x': x})\n"
        "    numpy.save(path + '.npy', y)\n"
    )
    models = {tmp_path / name: layer(onnx_model, codes).SerializeToString() for name, codes in LAYERS.items()}
    for path, model in models.items():
        path.write_bytes(model)
    done = subprocess.run([*qemu, "-c", script, *models], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    x = np.full((1, 16, 8, 8), 255, U)
    right = {path.name: run_all(open_session(model), {"x": x})["y"] for path, model in models.items()}
    there = {path.name: np.load(f"{path}.npy") for path in models}
    assert {name for name in LAYERS if not np.array_equal(right[name], there[name])} == {"same"}
