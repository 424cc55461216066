import numpy as np
import pytest

from edgekd.runtimes.coverage import Fallback, coverage
from edgekd.runtimes.onnx_runtime import node_times, optimized_graph, tap_everything

CONSTANTS = {
    "s": np.float32(0.1),
    "z": np.uint8(128),
    "codes": np.random.default_rng(0).integers(-127, 128, (4, 4, 1, 1), np.int8),
    "ws": np.float32([0.01, 0.02, 0.03, 0.04]),
    "float_w": np.ones((4, 4, 1, 1), np.float32),
}
X = np.random.default_rng(1).normal(0, 1, (2, 4, 8, 8)).astype(np.float32)
ENTRY = "q0 = QuantizeLinear(x, s, z) a = DequantizeLinear(q0, s, z) w = DequantizeLinear<axis=0>(codes, ws)"
LAYER = "{y}c = Conv({x}, w) {y}q = QuantizeLinear({y}c, s, z) {y} = DequantizeLinear({y}q, s, z)"


@pytest.fixture
def covered(onnx_model):
    def look(body, outputs="float y"):
        model = onnx_model("float[2,4,8,8] x", outputs, f"{ENTRY} {body}", CONSTANTS)
        optimized = optimized_graph(model.SerializeToString())
        return coverage(optimized, {"x": X, **tap_everything(optimized, {"x": X})})

    return look


def test_a_chain_of_integer_layers_has_no_fallback(covered):
    found = covered(f"{LAYER.format(x='a', y='b')} {LAYER.format(x='b', y='y')}")
    assert found.fallbacks == ()
    assert found.integer_ops >= 2


def test_a_float_island_is_found_with_its_borders(covered):
    island = "t = Tanh(b) tq = QuantizeLinear(t, s, z) d = DequantizeLinear(tq, s, z)"
    found = covered(f"{LAYER.format(x='a', y='b')} {island} {LAYER.format(x='d', y='y')}")
    assert sorted(item.op for item in found.fallbacks) == ["DequantizeLinear", "QuantizeLinear", "Tanh"]
    reasons = {item.op: item.reason for item in found.fallbacks}
    assert reasons["Tanh"] == "no rule gives Tanh an integer form"
    assert reasons["DequantizeLinear"] == "it stands between integers and an operator that runs in float"


def test_fused_operators_are_explained_by_what_was_fused(covered):
    body = "c = Conv(a, w) r = Relu(c) yq = QuantizeLinear(r, s, z) y = DequantizeLinear(yq, s, z)"
    fused = next(item for item in covered(body).fallbacks if item.op == "FusedConv")
    assert "[conv]" in fused.reason
    assert "[relu]" in fused.reason


def test_a_float_network_has_no_integer_operator(onnx_model):
    model = onnx_model("float[2,4,8,8] x", "float y", "c = Conv(x, float_w) y = Relu(c)", CONSTANTS)
    found = coverage(model, tap_everything(model, {"x": X}))
    assert found.integer_ops == 0
    assert [item.op for item in found.fallbacks] == ["Conv", "Relu"]


def test_moving_codes_is_integer_and_moving_floats_is_not(onnx_model):
    body = "t = Transpose(x) y = DequantizeLinear(t, s, z)"
    codes = onnx_model("uint8[2,3] x", "float y", body, CONSTANTS)
    x = np.ones((2, 3), np.uint8)
    found = coverage(codes, {"x": x, **tap_everything(codes, {"x": x})})
    assert (found.integer_ops, found.fallbacks) == (1, ())
    floats = onnx_model("float[2,3] x", "float y", "y = Transpose(x)", CONSTANTS)
    x = x.astype(np.float32)
    found = coverage(floats, {"x": x, **tap_everything(floats, {"x": x})})
    assert [item.op for item in found.fallbacks] == ["Transpose"]


def test_fallbacks_are_named_by_their_result_if_they_have_no_name(onnx_model):
    model = onnx_model("float[2] x", "float[2] y", "y = Tanh(x)", {})
    found = coverage(model, tap_everything(model, {"x": np.ones(2, np.float32)}))
    assert found.fallbacks == (Fallback("y", "Tanh", "no rule gives Tanh an integer form"),)


@pytest.mark.parametrize(("op", "listed"), [("Gelu", True), ("Tanh", False)])
def test_only_the_closed_list_may_be_float(onnx_model, op, listed):
    island = f"t = {op}(b) tq = QuantizeLinear(t, s, z) d = DequantizeLinear(tq, s, z)"
    body = f"{ENTRY} {LAYER.format(x='a', y='b')} {island} {LAYER.format(x='d', y='y')}"
    model = onnx_model("float[2,4,8,8] x", "float y", body, CONSTANTS)
    optimized = optimized_graph(model.SerializeToString())
    times = node_times(optimized, {"x": X})
    assert len(times) == len(optimized.graph.node)
    found = coverage(optimized, {"x": X, **tap_everything(optimized, {"x": X})}, times)
    assert {item.listed for item in found.fallbacks} == {listed}
    assert len(found.fallbacks) == 3  # with its borders
    assert bool(found.unlisted) is not listed
    assert 0 < found.integer_time_share < 1
