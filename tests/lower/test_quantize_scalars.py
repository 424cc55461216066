import numpy as np
import pytest

from edgekd.lower.graph import array
from edgekd.lower.quantize_scalars import QuantizeScalarsPass

CONSTANTS = {"s": np.float32(0.1), "z": np.uint8(128), "vector": np.float32([1, 2]), "one": np.float32(1)}
START = "x = DequantizeLinear(q, s, z)"


@pytest.mark.parametrize("number", [3.0, 1 / 6, 255.0, 1e-4, 0.0, -2.5, -1 / 3])
@pytest.mark.parametrize("body", ["y = Add(x, c)", "y = Mul(c, x)"])
def test_a_number_becomes_a_code_and_a_scale_of_the_same_number(graph, evaluate, number, body):
    model = graph("uint8[2] q", "float y", f"{START} {body}", c=np.float32(number), **CONSTANTS)
    assert QuantizeScalarsPass()(model).modified
    node = model.graph.node(-1)
    made = next(value.producer() for value in node.inputs if array(value.producer().inputs[0]) is not None)
    code, scale, zero = (array(value) for value in made.inputs)
    assert (code.dtype, zero.dtype, scale.dtype) == (np.uint8, np.uint8, np.float32)
    stored = (np.int32(code) - np.int32(zero)) * scale
    np.testing.assert_allclose(stored, np.float32(number), rtol=1.2e-7)
    x = (np.uint8([0, 255]).astype(np.float32) - 128) * np.float32(0.1)
    expected = x + np.float32(number) if "Add" in body else x * np.float32(number)
    np.testing.assert_allclose(evaluate(model, q=np.uint8([0, 255]))["y"], expected, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize(
    "body",
    ["y = Add(x, vector)", "y = Sub(x, one)", "f = Neg(x) y = Add(f, one)"],
    ids=["vector", "Sub", "float"],
)
def test_other_operands_stay(graph, body):
    model = graph("uint8[2] q", "float y", f"{START} {body}", **CONSTANTS)
    assert not QuantizeScalarsPass()(model).modified
