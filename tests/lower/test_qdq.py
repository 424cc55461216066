import numpy as np
import pytest

from edgekd.lower.qdq import dequantizer_of, ends_of, grid_of, has_kernel, is_quantized, layer_of, readers_of

CONSTANTS = {
    "s": np.float32(0.5),
    "z": np.uint8(128),
    "z0": np.uint8(0),
    "int0": np.int8(0),
    "codes": np.ones((4, 4, 1, 1), np.int8),
    "rows": np.int64([1, -1]),
    "square": np.ones((4, 4), np.int8),
    "bias": np.ones(4, np.float32),
}


@pytest.fixture
def nodes(graph):
    """Return a function that builds a model and returns its operators by the name of their result."""

    def build(body, inputs="float[1,4,2,2] x"):
        return {node.outputs[0].name: node for node in graph(inputs, "float y", body, **CONSTANTS).graph}

    return build


@pytest.mark.parametrize(
    ("inputs", "ends"),
    [("x, s, z", (-64, 63.5)), ("x, s", (0, 127.5)), ("x, s, int0", (-64, 63.5)), ("x, x, z", (0, 0))],
)
def test_ends_of_a_grid_by_hand(inputs, ends, nodes):
    """(0 - 128) * 0.5 and (255 - 128) * 0.5; 0 and 255 * 0.5; -128 * 0.5 and 127 * 0.5; not known."""
    node = nodes(f"q = QuantizeLinear({inputs}) y = Cast<to=1>(q)")["q"]
    assert ends_of(grid_of(node)) == ends


def test_grid_of_equals_where_type_zero_point_and_scale_are_equal(nodes):
    body = "a = QuantizeLinear(x, s) b = QuantizeLinear(x, s, z0) c = QuantizeLinear(x, s, int0) y = Relu(x)"
    found = {name: grid_of(node) for name, node in nodes(body).items() if name != "y"}
    assert found["a"] == found["b"] != found["c"]


def test_quantized_values_are_seen_through_moves_and_clamps(nodes):
    body = (
        "q = QuantizeLinear(x, s, z) d = DequantizeLinear(q, s, z) m = MaxPool<kernel_shape=[1,1]>(d) "
        "w = DequantizeLinear(codes, s) c = Conv(m, w) r = Relu(c) t = Tanh(r) y = Conv(t, w)"
    )
    found = nodes(body)
    assert dequantizer_of(found["m"].outputs[0]) is found["d"]
    assert dequantizer_of(found["r"].outputs[0]) is None
    assert {name for name, node in found.items() if has_kernel(node)} == {"c"}
    assert {name for name, node in found.items() if is_quantized(node.outputs[0])} == {
        "d",
        "m",
        "w",
        "c",
        "r",
    }


def test_readers_of_looks_through_one_only_reader(nodes):
    body = (
        "r = Relu(x) f = Reshape(r, rows) q = QuantizeLinear(f, s) d = DequantizeLinear(q, s) "
        "t = Tanh(f) y = Add(d, t)"
    )
    found = nodes(body)
    x = found["r"].inputs[0]
    assert readers_of(x) == ([], ["Relu"])
    assert readers_of(x, "Relu") == ([found["q"]], ["Tanh"])
    assert readers_of(found["y"].outputs[0]) == ([], ["the graph's output"])


def test_layer_of_takes_an_addition_for_the_bias_of_a_product(nodes):
    body = (
        "d = DequantizeLinear(square, s) p = MatMul(x, d) a = Add(bias, p) e = Add(p, x) g = Gemm(a, d) "
        "h = Gemm(g, d, bias) y = Add(h, e)"
    )
    found = nodes(body, "float[4,4] x")
    bias = found["a"].inputs[0]
    assert layer_of(found["a"]) == (found["p"], bias)
    assert layer_of(found["h"]) == (found["h"], bias)
    assert layer_of(found["g"]) == (found["g"], None)
    assert layer_of(found["e"]) == layer_of(found["p"]) == (None, None)
