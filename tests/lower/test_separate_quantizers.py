import numpy as np
import onnx_ir as ir

from edgekd.lower.separate_quantizers import SeparateQuantizersPass
from edgekd.runtimes.onnx_runtime import open_session, optimized_graph, run_all

CONSTANTS = {
    "s8": np.float32(2**-4),  # powers of two: float arithmetic is exact, so that nothing may differ
    "s4": np.float32(2**-1),
    "z": np.uint8(128),
    "codes": np.random.default_rng(0).integers(-127, 128, (4, 4, 1, 1), np.int8),
    "sw": np.float32([2**-6, 2**-5, 2**-7, 2**-6]),
}
BODY = (
    "q8 = QuantizeLinear(x, s8, z) d8 = DequantizeLinear(q8, s8, z) "
    "q4 = QuantizeLinear(d8, s4, z) d4 = DequantizeLinear(q4, s4, z) "
    "w = DequantizeLinear<axis=0>(codes, sw) c = Conv(d4, w) "
    "q = QuantizeLinear(c, s8, z) y = DequantizeLinear(q, s8, z)"
)
X = np.random.default_rng(1).normal(0, 3, (2, 4, 6, 6)).astype(np.float32)


def test_separated_quantizers_run_as_they_are_written(graph, evaluate):
    model = graph("float[2,4,6,6] x", "float y", BODY, **CONSTANTS)
    expected = evaluate(model, x=X)["y"]
    assert SeparateQuantizersPass()(model).modified
    assert np.array_equal(evaluate(model, x=X)["y"], expected)
    serialized = ir.to_proto(model).SerializeToString()
    assert "QLinearMul" in [node.op_type for node in optimized_graph(serialized).graph.node]
    assert np.array_equal(run_all(open_session(serialized), {"x": X})["y"], expected)


def test_quantizers_in_sequence_are_not_run_as_they_are_written(graph, evaluate):
    """Why the pass exists: without it one of the two is deleted."""
    model = graph("float[2,4,6,6] x", "float y", BODY, **CONSTANTS)
    expected = evaluate(model, x=X)["y"]
    as_run = run_all(open_session(ir.to_proto(model).SerializeToString()), {"x": X})["y"]
    assert np.mean(as_run != expected) > 0.1


def test_a_single_quantizer_is_left_alone(graph):
    body = "q = QuantizeLinear(x, s8, z) y = DequantizeLinear(q, s8, z)"
    assert not SeparateQuantizersPass()(graph("float[2] x", "float y", body, **CONSTANTS)).modified
