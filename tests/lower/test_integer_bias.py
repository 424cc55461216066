import numpy as np
import pytest

from edgekd.lower.graph import array
from edgekd.lower.integer_bias import LARGEST_BIAS_CODE, IntegerBiasPass, rescale_codes, usable_scale

CODES = np.random.default_rng(0).integers(-127, 128, (3, 2, 1, 1), np.int8)
X_SCALE = np.float32(0.5)
SCALE = np.float32([0.25, 0.5, 1.0])


def lowered(graph, *, bias, scale=SCALE, codes=CODES, op="Conv"):
    body = (
        "xd = DequantizeLinear(xq, x_scale, zero) w = DequantizeLinear<axis=0>(codes, scale) "
        f"y = {op}(xd, w{', bias' if bias is not None else ''})"
    )
    constants = {"x_scale": X_SCALE, "zero": np.uint8(0), "codes": codes, "scale": scale, "bias": bias}
    shape = "2,2,4,4" if op == "Conv" else "2,2"
    model = graph(
        f"uint8[{shape}] xq", "float y", body, **{k: v for k, v in constants.items() if v is not None}
    )
    assert IntegerBiasPass()(model).modified
    layer = next(node for node in model.graph if node.op_type == op.partition("<")[0])
    return [[array(value) for value in layer.inputs[index].producer().inputs] for index in (1, 2)]


def test_bias_codes_are_in_units_of_the_accumulator(graph):
    """Units are 0.5 * (0.25, 0.5, 1); 1.3 / 0.125 = 10.4, -2 / 0.25 = -8, 0.75 / 0.5 = 1.5."""
    (codes, scale), (bias, bias_scale) = lowered(graph, bias=np.float32([1.3, -2, 0.75]))
    assert bias.dtype == np.int32
    assert bias.tolist() == [10, -8, 2]  # ties to even
    assert bias_scale.tolist() == [0.125, 0.25, 0.5]
    assert np.array_equal(codes, CODES) and np.array_equal(scale, SCALE)


def test_a_missing_bias_becomes_zeros(graph):
    _, (bias, bias_scale) = lowered(graph, bias=None)
    assert bias.tolist() == [0, 0, 0]
    assert bias_scale.tolist() == [0.125, 0.25, 0.5]


def test_a_dead_channel_keeps_its_bias(graph):
    """Gain 0 left scale 0: the codes become 0, the bias survives."""
    (codes, scale), (bias, bias_scale) = lowered(
        graph, bias=np.float32([1, 2, 3]), scale=np.float32([0.25, 0, 1])
    )
    assert not codes[1].any() and codes[0].any()
    assert scale[1] > 0
    assert bias[1] * bias_scale[1] == pytest.approx(2, rel=1e-6)
    assert abs(bias[1]) <= LARGEST_BIAS_CODE


def test_a_channel_that_is_dead_altogether_gets_a_scale(graph):
    (codes, scale), (bias, _) = lowered(graph, bias=np.float32([0, 0, 0]), scale=np.float32([0, 0.5, 1]))
    assert (scale > 0).all() and not codes[0].any() and bias.tolist() == [0, 0, 0]


def test_a_linear_layer_gets_zero_points_of_its_weights(graph):
    weights, (bias, _) = lowered(
        graph, bias=np.float32([1, 2, 3]), codes=CODES.reshape(3, 2), op="Gemm<transB=1>"
    )
    assert weights[2].dtype == np.int8 and weights[2].tolist() == [0, 0, 0]
    assert bias.tolist() == [8, 8, 6]


def test_layers_that_are_not_quantized_are_left_alone(graph):
    model = graph(
        "float[2,2,4,4] x", "float y", "y = Conv(x, w, b)", w=np.ones((3, 2, 1, 1), np.float32), b=SCALE
    )
    assert not IntegerBiasPass()(model).modified


def test_a_negative_scale_counts_the_bias_in_its_own_unit(graph):
    """As where BatchNorm's sign is in the scale: 1.3 / -0.125 = -10.4."""
    (codes, scale), (bias, bias_scale) = lowered(graph, bias=np.float32([1.3, -2, 0.75]), scale=-SCALE)
    assert np.array_equal(codes, CODES) and np.array_equal(scale, -SCALE)
    assert bias.tolist() == [-10, 8, -2] and bias_scale.tolist() == [-0.125, -0.25, -0.5]


def test_usable_scale_is_raised_where_a_bias_would_overflow():
    """1e9 / (0.5 * 1) = 2e9 > 2**30: the scale becomes 1e9 / (0.5 * 2**30) = 1.8626451."""
    found = usable_scale(np.float32([1, 1]), np.float32([1e9, 1e3]), np.float32(0.5))
    assert found.tolist() == pytest.approx([1.8626451, 1])
    assert np.abs(np.float32([1e9, 1e3]) / (np.float32(0.5) * found)).max() <= LARGEST_BIAS_CODE * 1.001


def test_rescale_codes_rounds_to_the_same_numbers():
    codes = np.int8([[100, -3], [7, 127]])
    assert rescale_codes(codes, np.float32([1, 1]), np.float32([1, 4])).tolist() == [[100, -3], [2, 32]]
