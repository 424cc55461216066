import numpy as np
import pytest

from edgekd.lower.absorb_clamp import AbsorbClampPass

CONSTANTS = {
    "s6": np.float32(6 / 255),
    "s7": np.float32(7 / 255),
    "s6h": np.float32(6 / 127),
    "zero": np.float32(0),
    "six": np.float32(6),
    "minus": np.float32(-1),
}


def mark(scale="s6", qmin=0, qmax=255):
    return f'edgekd.FakeQuant<qmin={qmin}, qmax={qmax}, axis=-1, mark="m">(c, {scale})'


@pytest.mark.parametrize(
    ("clamp", "quantizer"),
    [
        pytest.param("c = Relu(x)", mark("s7"), id="relu"),
        pytest.param("c = Clip(x, zero, six)", mark("s6"), id="relu6"),
        pytest.param("c = Clip(x, zero, six)", mark("s6h", qmax=127), id="relu6 on 0..127"),
        pytest.param("c = Clip(x, zero)", mark("s7"), id="clip at 0"),
        pytest.param("r = Relu(x) c = Clip(r, zero, six)", mark("s6"), id="both"),
    ],
)
def test_clamps_that_the_grid_repeats_are_dropped(graph, op_types, clamp, quantizer):
    model = graph("float[2] x", "float[2] y", f"{clamp} y = {quantizer}", **CONSTANTS)
    assert AbsorbClampPass()(model).modified
    assert op_types(model) == ["FakeQuant"]
    assert model.graph.node(0).inputs[0].name == "x"


@pytest.mark.parametrize(
    ("clamp", "quantizer"),
    [
        pytest.param("c = Clip(x, zero, six)", mark("s7"), id="the grid reaches beyond 6"),
        pytest.param("c = Clip(x, zero, six)", mark("s6h"), id="255 steps of 6/127"),
        pytest.param("c = Relu(x)", mark(qmin=-128, qmax=127), id="the grid holds negative numbers"),
        pytest.param("c = Clip(x, minus, six)", mark(), id="clip at -1"),
        pytest.param("c = Neg(x)", mark(), id="no clamp"),
    ],
)
def test_clamps_that_the_grid_does_not_repeat_stay(graph, op_types, clamp, quantizer):
    model = graph("float[2] x", "float[2] y", f"{clamp} y = {quantizer}", **CONSTANTS)
    before = op_types(model)
    assert not AbsorbClampPass()(model).modified
    assert op_types(model) == before


def test_a_clamp_with_another_reader_stays_for_it(graph, op_types):
    model = graph("float[2] x", "float[2] y, float[2] z", f"c = Relu(x) y = {mark()} z = Neg(c)", **CONSTANTS)
    assert AbsorbClampPass()(model).modified
    assert op_types(model) == ["Relu", "FakeQuant", "Neg"]
    assert model.graph.node(1).inputs[0].name == "x"
    assert model.graph.node(2).inputs[0].name == "c"
