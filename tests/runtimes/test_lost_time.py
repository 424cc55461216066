"""Planted models: what is lost where, to which island its borders belong, and what the rule table says."""

import numpy as np
import onnx
import pytest

from edgekd.core.rules import rule
from edgekd.runtimes.lost_time import NodeCost, islands, lost_time
from edgekd.runtimes.onnx_runtime_target import OnnxRuntimeTarget

CONSTANTS = {
    "s": np.float32(0.1),
    "z": np.uint8(128),
    "z0": np.uint8(0),
    "low": np.float32(0),
    "high": np.float32(6),
    "within": np.float32(6 / 255),
    "beyond": np.float32(9 / 255),
    "codes": np.random.default_rng(0).integers(-127, 128, (16, 16, 3, 3), np.int8),
    "ws": np.full(16, 0.01, np.float32),
}
IMAGES = np.random.default_rng(1).integers(0, 256, (2, 48, 48, 16), np.uint8)
ENTRY = (
    "moved = Transpose<perm=[0,3,1,2]>(image) x = DequantizeLinear(moved, s, z) "
    "w = DequantizeLinear<axis=0>(codes, ws) "
)
POOL = "g = GlobalAveragePool(p) gq = QuantizeLinear(g, s, z) y = DequantizeLinear(gq, s, z)"


def layer(x, y):
    return (
        f"{y}c = Conv<pads=[1,1,1,1]>({x}, w) {y}q = QuantizeLinear({y}c, s, z) "
        f"{y} = DequantizeLinear({y}q, s, z) "
    )


@pytest.fixture
def covered(onnx_model, tmp_path):
    """Return a function that runs a body from ``x`` to ``p`` and returns its coverage."""

    def look(body):
        model = onnx_model(
            "uint8[2,48,48,16] image", "float[2,16,1,1] y", f"{ENTRY} {body} {POOL}", CONSTANTS
        )
        onnx.save(model, tmp_path / "model.onnx")
        return OnnxRuntimeTarget().look_inside(tmp_path / "model.onnx", {"image": IMAGES}).coverage

    return look


def costs_of(found):
    """Return the time shares of a coverage, which belong together, by kind."""
    assert sum(cost.time_share for cost in found.nodes) == pytest.approx(1)
    shares = [cost.time_share for cost in found.nodes]
    assert shares == sorted(shares, reverse=True)
    return {
        kind: [cost for cost in found.nodes if cost.kind == kind] for kind in ("integer", "float", "border")
    }


def test_a_float_island_counts_with_the_borders_around_it(covered):
    island = "e = Erf(b) eq = QuantizeLinear(e, s, z) d = DequantizeLinear(eq, s, z) "
    found = covered(f"{layer('x', 'b')} {island} {layer('d', 'p')}")
    kinds = costs_of(found)
    (erf,) = kinds["float"]
    around = [cost for cost in kinds["border"] if cost.island]
    assert {cost.op for cost in around} >= {"QuantizeLinear", "DequantizeLinear"}
    assert {cost.island for cost in around} == {erf.island} == {erf.node}
    assert found.border_time_share == pytest.approx(sum(cost.time_share for cost in kinds["border"]))
    lost = next(item for item in lost_time(found.nodes) if item.op == "Erf")
    assert lost.time_share == erf.time_share
    assert lost.border_time_share == pytest.approx(sum(cost.time_share for cost in around))
    assert (lost.count, lost.reason) == (1, "no rule gives Erf an integer form")


def test_a_pattern_that_fails_to_fuse_is_named_in_the_words_of_its_rule(covered):
    body = "c = Conv<pads=[1,1,1,1]>(x, w) r = Clip(c, low, high) rq = QuantizeLinear(r, {0}, z0) "
    body += "p = DequantizeLinear(rq, {0}, z0)"
    found = covered(body.format("beyond"))
    lost = lost_time(found.nodes)[0]
    assert lost.op == "FusedConv"
    assert lost.reason == "clamps to 0..6, but rq reaches 0..9"
    assert lost.change == f"{rule('relu6').advice} [relu6]"
    assert lost.time_share > 0.2
    assert next(item.reason for item in found.fallbacks if item.op == "FusedConv").startswith(lost.reason)
    assert not [cost for cost in covered(body.format("within")).nodes if cost.kind == "float"]


def test_a_convolution_that_others_read_raw_is_named_below_its_relu(covered):
    body = "c = Conv<pads=[1,1,1,1]>(x, w) r = Relu(c) e = Abs(r) p = Erf(e)"
    found = covered(body)
    conv = next(cost for cost in found.nodes if "Conv" in cost.op)
    assert conv.reason == "its result goes to Abs without a quantizer"
    assert conv.change.endswith("[conv]")


def test_an_integer_model_loses_nothing(covered):
    found = covered(f"{layer('x', 'b')} {layer('b', 'p')}")
    assert found.fallbacks == ()
    assert costs_of(found)["float"] == []
    assert {lost.op for lost in lost_time(found.nodes)} <= {"Transpose"}  # at the ends, on a busy machine
    assert found.border_time_share < 0.2


def cost(op, share, *, kind="float", island="", change="x"):
    return NodeCost(node=f"{op}{share}", op=op, kind=kind, time_share=share, island=island, change=change)


def test_lost_time_adds_up_what_is_lost_for_one_reason_and_leaves_out_what_is_little():
    """Two of one kind are 0.015 + 0.01 + 0.005 at a border = 0.03; Abs is 0.02, no more than the limit."""
    nodes = [
        cost("Abs", 0.02),
        cost("Gelu", 0.015),
        cost("Gelu", 0.01),
        cost("QuantizeLinear", 0.005, kind="border", island="Gelu0.01"),
        cost("DequantizeLinear", 0.9, kind="border", change=""),
    ]
    (lost,) = lost_time(nodes)
    assert (lost.node, lost.op, lost.count) == ("Gelu0.015", "Gelu", 2)
    assert (lost.time_share, lost.border_time_share) == pytest.approx((0.025, 0.005))


def test_islands_are_divided_by_integer_operators():
    """a -> Q -> conv -> DQ -> b, c: b and c read one number and belong together, c is slower."""
    text = """<ir_version: 10, opset_import: ["" : 21]> g (float x) => (float b, float c) {
        [a] a = Abs (x)  [q] q = QuantizeLinear (a, s)  [conv] k = Conv (q, q)
        [dq] d = DequantizeLinear (k, s)  [b] b = Abs (d)  [c] c = Abs (d)
    }"""
    nodes = onnx.parser.parse_model(text).graph.node
    kinds = ["float", "border", "integer", "border", "float", "float"]
    assert islands(nodes, kinds, [1, 1, 9, 1, 2, 3]) == ["a", "a", "", "c", "c", "c"]
    assert islands(nodes, kinds, []) == ["a", "a", "", "b", "b", "b"]
