import numpy as np

from edgekd.lower.graph import array, attribute
from edgekd.lower.quantize_weights import QuantizeWeightsPass


def test_weights_become_codes_behind_a_dequantizer(graph):
    """Channel 0: w / 0.25 = 1.5 -2.5 40 -> 2 -2 7; channel 1: w / 2 = 0.5 -1.5 -40 -> 0 -2 -7."""
    body = 'y0 = edgekd.FakeQuant<qmin=-7, qmax=7, axis=0, mark="conv.weight">(w, s) y = MatMul(x, y0)'
    weight, scale = np.float32([[0.375, -0.625, 10], [1, -3, -80]]), np.float32([0.25, 2])
    model = graph("float[2,2] x", "float y", body, w=weight, s=scale)
    assert QuantizeWeightsPass()(model).modified
    node = model.graph.node(0)
    codes, stored = (array(value) for value in node.inputs)
    assert (node.op_type, attribute(node, "axis"), node.inputs[0].name) == (
        "DequantizeLinear",
        0,
        "conv.weight",
    )
    assert codes.dtype == np.int8 and codes.tolist() == [[2, -2, 7], [0, -2, -7]]
    assert np.array_equal(stored, scale)


def test_marks_on_activations_are_left_to_another_pass(graph):
    model = graph(
        "float[2] x",
        "float y",
        'y = edgekd.FakeQuant<qmin=0, qmax=255, axis=-1, mark="a">(x, s)',
        s=np.float32(0.1),
    )
    assert not QuantizeWeightsPass()(model).modified
