import numpy as np
import pytest

from edgekd.errors import LowerError
from edgekd.lower.quantize_activations import QuantizeActivationsPass, QuantizePixelsPass

X = np.float32([-100, -0.05, 0.05, 0.15, 0.26, 1.0, 100])


def mark(qmin, qmax, scale="s"):
    return f'y = edgekd.FakeQuant<qmin={qmin}, qmax={qmax}, axis=-1, mark="conv1">(x, {scale})'


@pytest.mark.parametrize(
    ("qmin", "qmax", "zero_point", "clip"),
    [
        (0, 255, 0, None),
        (-128, 127, 128, None),
        (0, 127, 0, (0, 127)),
        (-8, 7, 128, (120, 135)),
        (0, 3, 0, (0, 3)),
    ],
)
def test_marks_become_uint8_codes(graph, evaluate, op_types, qmin, qmax, zero_point, clip):
    model = graph("float[7] x", "float[7] y", mark(qmin, qmax), s=np.float32(0.1))
    QuantizeActivationsPass()(model)
    assert op_types(model) == ["QuantizeLinear", *(["Clip"] if clip else []), "DequantizeLinear"]
    codes = model.graph.node(-1).inputs[0]
    assert codes.name == "conv1.q"
    model.graph.outputs.append(codes)
    found = evaluate(model, x=X)
    expected = np.clip(np.round(X / np.float32(0.1)), qmin, qmax)
    assert found["conv1.q"].dtype == np.uint8
    assert np.array_equal(found["conv1.q"].astype(int), expected + zero_point)
    assert np.array_equal(found["y"], (expected * np.float32(0.1)).astype(np.float32))


@pytest.mark.parametrize(("qmin", "qmax"), [(0, 256), (-129, 127), (-128, 128)])
def test_codes_beyond_uint8_are_refused(graph, qmin, qmax):
    model = graph("float[7] x", "float[7] y", mark(qmin, qmax), s=np.float32(0.1))
    with pytest.raises(LowerError, match=f"quantizer conv1: codes {qmin}..{qmax} do not fit"):
        QuantizeActivationsPass().visit(model.graph.node(0))


def test_a_scale_that_is_computed_is_refused(graph):
    model = graph("float[7] x", "float[7] y", f"t = Abs(s) {mark(0, 255, 't')}", s=np.float32(0.1))
    with pytest.raises(LowerError) as error:
        QuantizeActivationsPass().visit(model.graph.node(1))
    assert "constant scales" in error.value.fix


def test_pixels_are_their_own_codes(graph, evaluate, op_types):
    body = "y = edgekd.Pixels<scale=0.5, zero_point=114>(x)"
    model = graph("uint8[1,2,2,3] x", "float y", body)
    QuantizePixelsPass()(model)
    assert op_types(model) == ["Transpose", "DequantizeLinear"]
    images = np.arange(12, dtype=np.uint8).reshape(1, 2, 2, 3) * 20
    expected = (images.astype(np.float32).transpose(0, 3, 1, 2) - 114) * 0.5
    assert np.array_equal(evaluate(model, x=images)["y"], expected)
