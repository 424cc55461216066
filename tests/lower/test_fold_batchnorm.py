import numpy as np
import pytest

from edgekd.errors import LowerError
from edgekd.lower.fold_batchnorm import FoldBatchNormPass
from edgekd.lower.graph import array

RNG = np.random.default_rng(0)
CODES = RNG.integers(-127, 128, (4, 3, 1, 1), np.int8)
NORM = {
    "gain": np.float32([2, -2, 0, -0.5]),
    "beta": np.float32([1, 2, 3, 4]),
    "mean": np.float32([0.1, -0.2, 0.3, 5]),
    "var": np.float32([1, 4, 0.25, 0.01]),
}
LAYER = {"codes": CODES, "scale": np.float32([0.01, 0.02, 0.03, 0.04]), "bias": np.float32([1, -1, 2, 0])}
X = RNG.normal(0, 1, (2, 3, 4, 4)).astype(np.float32)


@pytest.mark.parametrize("arguments", ["x, w", "x, w, bias"])
def test_fold_batchnorm_changes_no_number(graph, evaluate, op_types, arguments):
    body = (
        f"w = DequantizeLinear<axis=0>(codes, scale) c = Conv({arguments}) "
        "y = BatchNormalization<epsilon=0.001>(c, gain, beta, mean, var)"
    )
    model = graph("float[2,3,4,4] x", "float[2,4,4,4] y", body, **LAYER, **NORM)
    before = evaluate(model, x=X)["y"]
    assert FoldBatchNormPass()(model).modified
    assert op_types(model) == ["DequantizeLinear", "Conv"]
    np.testing.assert_allclose(evaluate(model, x=X)["y"], before, rtol=1e-5, atol=1e-5)


def test_fold_batchnorm_flips_codes_where_the_gain_is_negative(graph):
    body = (
        "w = DequantizeLinear<axis=0>(codes, scale) c = Conv(x, w) "
        "y = BatchNormalization(c, gain, beta, mean, var)"
    )
    model = graph("float[2,3,4,4] x", "float[2,4,4,4] y", body, **LAYER, **NORM)
    FoldBatchNormPass()(model)
    dequantize, _ = model.graph
    sign = np.int8([1, -1, 1, -1]).reshape(4, 1, 1, 1)
    assert np.array_equal(array(dequantize.inputs[0]), CODES * sign)
    factor = np.abs(NORM["gain"]) / np.sqrt(NORM["var"] + 1e-5)
    np.testing.assert_allclose(array(dequantize.inputs[1]), LAYER["scale"] * factor, rtol=1e-6)
    assert array(dequantize.inputs[1])[2] == 0


def test_fold_batchnorm_leaves_the_codes_of_a_code_book_alone(graph, evaluate):
    """Flipped codes would double its table: the scales become negative instead."""
    codes = np.int8([-90, -20, 50, 127])[RNG.integers(0, 4, (4, 3, 3, 3))]
    body = (
        "w = DequantizeLinear<axis=0>(codes, scale) c = Conv(x, w, bias) "
        "y = BatchNormalization<epsilon=0.001>(c, gain, beta, mean, var)"
    )
    constants = {**LAYER, **NORM, "codes": codes}
    model = graph("float[2,3,4,4] x", "float[2,4,2,2] y", body, **constants)
    before = evaluate(model, x=X)["y"]
    FoldBatchNormPass()(model)
    dequantize, _ = model.graph
    assert np.array_equal(array(dequantize.inputs[0]), codes)
    assert np.sign(array(dequantize.inputs[1])).tolist() == [1, -1, 0, -1]
    np.testing.assert_allclose(evaluate(model, x=X)["y"], before, rtol=1e-5, atol=1e-3)


def test_fold_batchnorm_reaches_through_a_linear_layer(graph, evaluate, op_types):
    body = (
        "w = DequantizeLinear<axis=0>(codes, scale) c = Gemm<transB=1>(x, w, bias) "
        "y = BatchNormalization(c, gain, beta, mean, var)"
    )
    layer = {**LAYER, "codes": CODES.reshape(4, 3)}
    model = graph("float[5,3] x", "float[5,4] y", body, **layer, **NORM)
    x = RNG.normal(0, 1, (5, 3)).astype(np.float32)
    before = evaluate(model, x=x)["y"]
    FoldBatchNormPass()(model)
    assert op_types(model) == ["DequantizeLinear", "Gemm"]
    np.testing.assert_allclose(evaluate(model, x=x)["y"], before, rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize(
    "layer",
    [
        pytest.param("c = Relu(x)", id="no layer"),
        pytest.param("c = Conv(x, float_weight)", id="weights without quantizer"),
        pytest.param(
            "w = DequantizeLinear<axis=0>(codes, scale) c = Conv(x, w) z = Relu(c)", id="read twice"
        ),
    ],
)
def test_fold_batchnorm_refuses(graph, layer):
    outputs = "float[2,4,4,4] y" + (", float z" if "z =" in layer else "")
    body = f"{layer} y = BatchNormalization(c, gain, beta, mean, var)"
    floats = {"float_weight": CODES.astype(np.float32)}
    model = graph("float[2,3,4,4] x", outputs, body, **LAYER, **NORM, **floats)
    with pytest.raises(LowerError, match="does not follow a quantized layer") as error:
        FoldBatchNormPass().visit(next(node for node in model.graph if node.op_type == "BatchNormalization"))
    assert "directly behind a convolution" in error.value.fix
