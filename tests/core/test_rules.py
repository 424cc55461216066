"""Every row of the rule table, proved on the real ONNX Runtime.

One small network after the other goes through prepare, calibrate and export; the optimised graph must hold
the row's integer form and no float operator. Where a row has a condition, a hand-made graph breaks it, and
ONNX Runtime must then really run a float operator: the row is needed.
"""

import functools
from collections import Counter
from dataclasses import dataclass

import ml_dtypes
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from edgekd.core.rules import RULES, Role, explain_float, rule, rules_for
from edgekd.quant.operators import onnx_op
from edgekd.quant.tracing import trace
from edgekd.runtimes.coverage import coverage
from edgekd.runtimes.onnx_runtime import open_session, optimized_graph, run_all, tap_everything
from edgekd.zoo.pixels import ImageNetwork, PixelGrid


class Residual(nn.Module):
    """Option-A shortcut: every second pixel, zeros for the new channels."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(8)
        self.conv = nn.Conv2d(8, 16, 3, stride=2, padding=1, bias=False)
        self.norm2 = nn.BatchNorm2d(16)
        self.linear = nn.Linear(16, 5)

    def forward(self, x):
        x = F.relu(self.norm(self.stem(x)))
        y = self.norm2(self.conv(x))
        x = F.relu(y + F.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, 4, 4)))
        return self.linear(F.adaptive_avg_pool2d(x, 1).flatten(1))


class Mobile(nn.Module):
    """What MobileNets are made of: depthwise, ReLU6, squeeze-and-excite, HardSwish, and SiLU."""

    def __init__(self):
        super().__init__()
        self.expand = nn.Conv2d(3, 8, 1)
        self.depthwise = nn.Conv2d(8, 8, 3, padding=1, groups=8)
        self.squeeze = nn.Conv2d(8, 4, 1)
        self.excite = nn.Conv2d(4, 8, 1)
        self.project = nn.Conv2d(8, 6, 1)
        self.hard_swish = nn.Hardswish()
        self.linear = nn.Linear(6, 4)

    def forward(self, x):
        x = F.relu6(self.depthwise(self.hard_swish(self.expand(x))))
        x = x * F.hardsigmoid(self.excite(F.relu(self.squeeze(F.adaptive_avg_pool2d(x, 1)))))
        x = F.silu(self.project(x))
        return torch.sigmoid(self.linear(x.mean((2, 3))))


class Branches(nn.Module):
    """Two paths that are split and joined; a ReLU beside a skip; a convolution as the last layer."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, stride=2, padding=1)
        self.left = nn.Conv2d(4, 8, 1)
        self.grouped = nn.Conv2d(12, 8, 3, groups=4, dilation=2, padding=2, stride=(1, 2))
        self.last = nn.Conv2d(8, 3, 1)

    def forward(self, x):
        stem = self.stem(x)
        left, right = torch.chunk(F.relu(stem) + stem, 2, dim=1)
        left = F.relu6(F.max_pool2d(self.left(left), 3, stride=2, padding=1))
        x = torch.cat([left, F.avg_pool2d(right, 2)], dim=1)
        return self.last(F.relu(self.grouped(x)))


class Tokens(nn.Module):
    """Attention without weights of its own."""

    def __init__(self):
        super().__init__()
        self.patches = nn.Conv2d(3, 8, 4, stride=4)
        self.linear = nn.Linear(8 * 16, 4)

    def forward(self, x):
        tokens = self.patches(x).flatten(2).transpose(1, 2)
        attention = torch.softmax(torch.matmul(tokens, tokens.transpose(1, 2)), dim=-1)
        return self.linear(torch.matmul(attention, tokens).flatten(1))


class Copies(nn.Module):
    """What copies numbers: one channel, a token for every image, an image twice as large."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 8, 3)
        self.token = nn.Parameter(torch.randn(1, 1, 28))
        self.linear = nn.Linear(28, 4)

    def forward(self, x):
        x = F.interpolate(F.leaky_relu(self.conv(x), 0.1), scale_factor=2)
        tokens = torch.cat([self.token.expand(x.shape[0], -1, -1), x[:, 3]], 1)
        return self.linear(tokens[:, 0])


class Normalized(nn.Module):
    """Keeps an operator that no runtime has in integers."""

    def __init__(self):
        super().__init__()
        self.first = nn.Linear(12, 8)
        self.norm = nn.LayerNorm(8)
        self.last = nn.Linear(8, 3)

    def forward(self, x):
        return self.last(self.norm(F.relu(self.first(x))))


PIXELS = torch.randint(0, 256, (8, 12, 12, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
IMAGES = torch.randn(8, 3, 16, 16, generator=torch.Generator().manual_seed(0))
ROWS = torch.randn(8, 12, generator=torch.Generator().manual_seed(0))
NETWORKS = {
    "residual": (lambda: ImageNetwork(PixelGrid.like(), Residual()), PIXELS),
    "mobile": (Mobile, IMAGES),
    "branches": (Branches, IMAGES),
    "tokens": (Tokens, IMAGES),
    "copies": (Copies, IMAGES),
    "normalized": (Normalized, ROWS),
}


@dataclass(frozen=True)
class Broken:
    """A graph that breaks a row's condition.

    Attributes:
        body: ONNX text that reads ``x`` (codes ``xq``, numbers ``xd``) and makes ``y``.
        float_op: The operator that ONNX Runtime then runs in float.
        explained_by: The row whose advice is given for it; empty for the row itself.
    """

    body: str
    float_op: str
    explained_by: str = ""


@dataclass(frozen=True)
class Case:
    network: str
    broken: Broken | None = None


TO_Y = "q = QuantizeLinear(c, s2, z128) y = DequantizeLinear(q, s2, z128)"
CONV_TO_Y = f"c = Conv(p, w, b) {TO_Y}"

CASES = {
    "pixels": Case("residual"),
    "conv": Case("residual", Broken(f"c = Conv(xd, w, b) {TO_Y} q2 = QuantizeLinear(c, s, z128)", "Conv")),
    "gemm": Case(
        "residual",
        Broken(
            "rq = Reshape(xq, rows) r = DequantizeLinear(rq, s, z128) y = Gemm<transB=1>(r, gw, fb)", "Gemm"
        ),
    ),
    "matmul": Case("tokens", Broken(f"c = MatMul(xd, fm) {TO_Y}", "MatMul")),
    "batch_norm": Case(
        "residual",
        Broken(f"d = Conv(xd, w, b) c = BatchNormalization(d, f4, f4, f4, f4) {TO_Y}", "BatchNormalization"),
    ),
    "relu": Case(
        "residual",
        Broken(
            "d = Conv(xd, w, b) c = Relu(d) "
            "q = QuantizeLinear(c, s2, int0) y = DequantizeLinear(q, s2, int0)",
            "FusedConv",
        ),
    ),
    "relu6": Case(
        "mobile",
        Broken(
            "d = Conv(xd, w, b) c = Clip(d, zero, six) "
            "q = QuantizeLinear(c, s2, z0) y = DequantizeLinear(q, s2, z0)",
            "FusedConv",
        ),
    ),
    "relu_on_codes": Case(
        "branches",
        Broken(
            f"r = Relu(xd) rq = QuantizeLinear(r, s, z128) p = DequantizeLinear(rq, s, z128) {CONV_TO_Y}",
            "Relu",
        ),
    ),
    "add": Case("residual", Broken(f"d = Conv(xd, w, b) c = Add(d, xd) {TO_Y}", "FusedConv", "conv")),
    "mul": Case("mobile", Broken(f"d = Conv(xd, w, b) c = Mul(d, xd) {TO_Y}", "Mul")),
    "scalar_operand": Case("mobile", Broken(f"c = Add(xd, six) {TO_Y}", "Add")),
    "global_average_pool": Case("mobile", Broken(f"c = ReduceMean(xd, axes) {TO_Y}", "ReduceMean")),
    "average_pool": Case(
        "branches", Broken(f"p = AveragePool<kernel_shape=[2,2]>(xd) {CONV_TO_Y}", "AveragePool")
    ),
    "max_pool": Case("branches", Broken(f"c = MaxPool<kernel_shape=[2,2]>(xd) {TO_Y}", "MaxPool")),
    "slice_and_pad": Case(
        "residual",
        Broken("c = Pad(xd, pads) q = QuantizeLinear(c, s, z128) y = DequantizeLinear(q, s, z128)", "Pad"),
    ),
    "split": Case("branches", Broken(f"p, other = Split<num_outputs=2, axis=2>(xd) {CONV_TO_Y}", "Split")),
    "flatten": Case("tokens", Broken("r = Flatten(xd) y = Gemm<transB=1>(r, gw, gb)", "Flatten")),
    "transpose": Case("tokens", Broken(f"c = Transpose<perm=[0,1,3,2]>(xd) {TO_Y}", "Transpose")),
    "concat": Case("branches", Broken(f"p = Concat<axis=2>(xd, xd) {CONV_TO_Y}", "Concat")),
    "sigmoid": Case("mobile", Broken(f"p = Sigmoid(xd) {CONV_TO_Y}", "Sigmoid")),
    "leaky_relu": Case("copies", Broken(f"p = LeakyRelu(xd) {CONV_TO_Y}", "LeakyRelu")),
    "repeat": Case("copies", Broken(f'c = Resize<mode="nearest">(xd, "", twice) {TO_Y}', "Resize")),
    "softmax": Case("tokens", Broken(f"p = Softmax(xd) {CONV_TO_Y}", "Softmax")),
    "hard_sigmoid": Case("mobile", Broken(f"c = HardSigmoid(xd) {TO_Y}", "HardSigmoid")),
    "hard_swish": Case("mobile", Broken(f"c = HardSwish(xd) {TO_Y}", "HardSigmoid", "hard_sigmoid")),
    "silu": Case("mobile", Broken(f"g = Sigmoid(xd) c = Mul(xd, g) {TO_Y}", "Sigmoid", "sigmoid")),
    "one_quantizer": Case("branches"),
    "overflow": Case("mobile"),
    "cast_weights": Case(
        "residual",
        Broken(f"w4 = DequantizeLinear<axis=0>(w4q, ws) c = Conv(xd, w4, b) {TO_Y}", "Conv", "conv"),
    ),
    "saturation": Case("residual"),
    "float_only": Case("normalized"),
}
INTEGER = [row for row in RULES if row.role is not Role.FLOAT]


@pytest.fixture(scope="module")
def exported(export_integer):
    @functools.cache
    def export(name):
        torch.manual_seed(0)
        build, inputs = NETWORKS[name]
        return export_integer(build(), inputs)

    return export


@pytest.fixture(scope="module")
def hand_made(onnx_model):
    rng = np.random.default_rng(0)
    constants = {
        "s": np.float32(0.03),
        "s2": np.float32(0.05),
        "s4": np.float32(0.4),
        "z128": np.uint8(128),
        "z0": np.uint8(0),
        "int0": np.int8(0),
        "wq": rng.integers(-127, 128, (4, 4, 1, 1), np.int8),
        "w4q": rng.integers(-7, 8, (4, 4, 1, 1), np.int8).astype(ml_dtypes.int4),
        "ws": np.float32([0.002, 0.003, 0.002, 0.001]),
        "bq": rng.integers(-1000, 1000, 4, np.int32),
        "bs": np.float32(0.03) * np.float32([0.002, 0.003, 0.002, 0.001]),
        "gq": rng.integers(-127, 128, (3, 256), np.int8),
        "gs": np.float32([0.002, 0.001, 0.003]),
        "gz": np.zeros(3, np.int8),
        "gbq": np.int32([1, 2, 3]),
        "gbs": np.float32(0.03) * np.float32([0.002, 0.001, 0.003]),
        "fb": np.float32([1, 2, 3]),
        "fm": rng.standard_normal((8, 8), np.float32),
        "f4": np.float32([1, 2, 3, 4]),
        "zero": np.float32(0),
        "six": np.float32(6),
        "rows": np.int64([2, -1]),
        "axes": np.int64([2, 3]),
        "twice": np.float32([1, 1, 2, 2]),
        "pads": np.int64([0, 0, 1, 1, 0, 0, 1, 1]),
    }
    quantized = {
        "w": "w = DequantizeLinear<axis=0>(wq, ws)",
        "b": "b = DequantizeLinear<axis=0>(bq, bs)",
        "gw": "gw = DequantizeLinear<axis=0>(gq, gs, gz)",
        "gb": "gb = DequantizeLinear<axis=0>(gbq, gbs)",
    }

    def build(body):
        used = " ".join(
            text for name, text in quantized.items() if f" {name}," in body or f" {name})" in body
        )
        start = "xq = QuantizeLinear(x, s, z128) xd = DequantizeLinear(xq, s, z128)"
        return onnx_model("float[2,4,8,8] x", "float y", f"{start} {used} {body}", constants)

    return build


X = np.random.default_rng(1).normal(0, 2, (2, 4, 8, 8)).astype(np.float32)


def test_every_rule_has_a_case():
    assert list(CASES) and sorted(CASES) == sorted(row.name for row in RULES)


@pytest.mark.parametrize("row", INTEGER, ids=lambda row: row.name)
def test_rule_gives_its_integer_form(row, exported):
    case = CASES[row.name]
    run = exported(case.network)
    run.assert_integer()
    assert set(row.integer_form) <= set(run.ops)


@pytest.mark.parametrize(
    "row", [row for row in RULES if row.role is not Role.DECOMPOSE], ids=lambda row: row.name
)
def test_case_holds_an_operator_of_its_rule(row, exported):
    case = CASES[row.name]
    build, inputs = NETWORKS[case.network]
    traced = trace(build(), inputs)
    modules = dict(traced.named_modules())
    spoken = {onnx_op(node, modules) for node in traced.graph.nodes if node.op.startswith("call_")}
    lowered = {node.op_type for node in exported(case.network).lowered.graph.node}
    assert set(row.ops) & (spoken | lowered)


@pytest.mark.parametrize("name", [name for name, case in CASES.items() if case.broken])
def test_rule_is_needed(name, hand_made):
    broken = CASES[name].broken
    optimized = optimized_graph(hand_made(broken.body).SerializeToString())
    found = coverage(optimized, {"x": X, **tap_everything(optimized, {"x": X})})
    reasons = {fallback.op: fallback.reason for fallback in found.fallbacks}
    assert broken.float_op in reasons
    assert f"[{broken.explained_by or name}]" in reasons[broken.float_op]


def test_pixels_rule_is_needed(onnx_model):
    """Normalizing in the graph costs a float Cast, Sub and Mul, and a rounding of the input."""
    constants = {"mean": np.float32(128), "scale": np.float32(0.02), "zero": np.uint8(128)}
    body = (
        "f = Cast<to=1>(x) d = Sub(f, mean) m = Mul(d, scale) "
        "q = QuantizeLinear(m, scale, zero) y = DequantizeLinear(q, scale, zero)"
    )
    optimized = optimized_graph(onnx_model("uint8[1,4] x", "float y", body, constants).SerializeToString())
    feeds = {"x": np.arange(4, dtype=np.uint8)[None]}
    found = coverage(optimized, {**feeds, **tap_everything(optimized, feeds)})
    assert {"Cast", "Sub", "Mul"} <= {fallback.op for fallback in found.fallbacks}


def test_one_quantizer_is_needed(hand_made):
    """Of two quantizers in sequence one is deleted, and the numbers change."""
    body = (
        "d = Conv(xd, w, b) q8 = QuantizeLinear(d, s2, z128) d8 = DequantizeLinear(q8, s2, z128) "
        f"q4 = QuantizeLinear(d8, s4, z128) p = DequantizeLinear(q4, s4, z128) c = Conv(p, w) {TO_Y}"
    )
    model = hand_made(body).SerializeToString()
    as_written = run_all(open_session(model, optimize=False), {"x": X})["y"]
    as_run = run_all(open_session(model), {"x": X})["y"]
    assert np.mean(np.abs(as_written - as_run) > 1e-4) > 0.1
    assert Counter(node.op_type for node in optimized_graph(model).graph.node)["QuantizeLinear"] == 1


def test_float_only_operators_are_reported_with_the_advice(exported):
    run = exported("normalized")
    run.assert_faithful()
    row = rule("float_only")
    fallbacks = run.faithfulness.coverage.fallbacks
    named = [fallback for fallback in fallbacks if fallback.op in row.ops]
    assert [fallback.op for fallback in named] == ["LayerNormalization"]
    assert f"{row.advice} [float_only]" in named[0].reason
    assert {fallback.op for fallback in fallbacks} == {
        "LayerNormalization",
        "QuantizeLinear",
        "DequantizeLinear",
    }


def test_rule_names_are_unique():
    assert max(Counter(row.name for row in RULES).values()) == 1


def test_rules_for_finds_every_row_of_an_operator():
    assert [row.name for row in rules_for("Mul")] == ["mul", "scalar_operand"]
    assert rules_for("Fourier") == ()


def test_rule_refuses_an_unknown_name():
    with pytest.raises(KeyError):
        rule("no such row")


def test_explain_float_gives_the_advice_of_every_row():
    text = explain_float("Relu")
    assert "zero point 0 behind a ReLU" in text
    assert "[relu]" in text and "[relu_on_codes]" in text
    assert explain_float("Fourier") == "no rule gives Fourier an integer form"
