import numpy as np
import onnx_ir as ir

from edgekd.lower.float_reference import ActivationMark, activation_marks, float_reference

CONSTANTS = {
    "w": np.float32([[0.375, -0.625], [1, -3]]).reshape(2, 2, 1, 1),
    "ws": np.float32([0.25, 2]),
    "s1": np.float32(0.5),
    "s2": np.float32(0.25),
}
BODY = (
    "p = edgekd.Pixels<scale=0.5, zero_point=100>(image) "
    'wq = edgekd.FakeQuant<qmin=-7, qmax=7, axis=0, mark="conv.weight">(w, ws) '
    "c = Conv(p, wq) r = Relu(c) "
    'a = edgekd.FakeQuant<qmin=0, qmax=255, axis=-1, mark="conv">(r, s1) '
    "m = MaxPool<kernel_shape=[1,1]>(a) n = Neg(m) "
    'b = edgekd.FakeQuant<qmin=-8, qmax=7, axis=-1, mark="last">(n, s2)'
)
IMAGE = np.uint8([104, 100, 255, 90]).reshape(1, 1, 2, 2)


def marked(graph):
    model = graph("uint8[1,1,2,2] image", "float[1,2,1,2] b", BODY, **CONSTANTS)
    for node in model.graph:
        if node.op_type == "FakeQuant":
            node.outputs[0].shape = ir.Shape([1, 2, 1, 2])
    return model


def test_activation_marks_are_listed_in_order(graph):
    assert activation_marks(marked(graph)) == (
        ActivationMark("conv", 0.5, 0, 255, 4, "a"),
        ActivationMark("last", 0.25, -8, 7, 4, "b"),
    )


def test_reference_computes_each_layer_from_what_stands_before_it(graph, evaluate):
    """Two places with the channels 2, 0 and 77.5, -5. The weights snap to 0.5, -0.5 and 0, -4.

    In steps of 0.5: 2 * 0.5 = 1 -> 2; 0; 77.5 * 0.5 + 5 * 0.5 = 41.25 -> 82.5; 5 * 4 = 20 -> 40.
    """
    reference = float_reference(marked(graph))
    assert [value.name for value in reference.graph.inputs] == ["image", "conv.dq", "last.dq"]
    assert [value.name for value in reference.graph.outputs] == ["conv.q", "last.q"]
    stand_in = np.float32([[[[1, 2]], [[-3, 0.4]]]])
    found = evaluate(reference, image=IMAGE, **{"conv.dq": stand_in, "last.dq": stand_in})
    assert found["conv.q"].tolist() == [[[[2, 82.5]], [[0, 40]]]]
    assert np.array_equal(found["last.q"], -stand_in / 0.25)
