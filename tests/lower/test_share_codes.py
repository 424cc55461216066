import numpy as np
import onnx_ir as ir
import pytest

from edgekd.core.rules import RULES, Role
from edgekd.errors import LowerError
from edgekd.lower.graph import array
from edgekd.lower.share_codes import ShareCodesPass

CODES = np.random.default_rng(0).integers(0, 256, (2, 4, 6, 6), np.uint8)
CONSTANTS = {
    "scale": np.float32(0.1),
    "zero": np.uint8(128),
    "begin": np.int64([1]),
    "end": np.int64([5]),
    "axis": np.int64([2]),
    "pads": np.int64([0, 1, 0, 0, 0, 2, 0, 0]),
    "none": np.float32(0),
    "rows": np.int64([0, -1]),
    "sizes": np.int64([1, 3]),
    "new": np.int64([4]),
    "first": np.int64([0]),
    "new_axis": np.int64([1]),
    "wide": np.int64([2, 4, 6, 6]),
    "picked": np.int64([2, 0]),
    "twice": np.float32([1, 1, 2, 2]),
    "around": np.int64([0, 0, 1, 1, 0, 0, 1, 1]),
    "lowest": np.float32(-np.inf),
}
OPERATORS = {
    "MaxPool": "y = MaxPool<kernel_shape=[3,3], strides=[2,2], pads=[1,1,1,1]>(x)",
    "Slice": "y = Slice(x, begin, end, axis)",
    "Split": "y, rest = Split<axis=1>(x, sizes)",
    "Pad": "y = Pad(x, pads)",
    "Pad with 0": "y = Pad(x, pads, none)",
    "Reshape": "y = Reshape(x, rows)",
    "Flatten": "y = Flatten(x)",
    "Unsqueeze and Squeeze": "u = Unsqueeze(x, new) y = Squeeze(u, new)",
    "Transpose": "y = Transpose<perm=[0,2,3,1]>(x)",
    "Expand": "s = Slice(x, first, begin, new_axis) y = Expand(s, wide)",
    "Gather": "y = Gather<axis=1>(x, picked)",
    "Resize": 'y = Resize<mode="nearest">(x, "", twice)',
    "Pad with -inf": "p = Pad(x, around, lowest) y = MaxPool<kernel_shape=[3,3]>(p)",
    "Relu": "y = Relu(x)",
    "Shape": "s = Shape(x) r = Relu(x) y = Reshape(r, s)",
    "a chain": "r = Relu(x) s = Slice(r, begin, end, axis) y = Pad(s, pads)",
}
START = "x = DequantizeLinear(q, scale, zero)"


def test_every_sharing_operator_is_tried():
    sharing = {op for row in RULES if row.role is Role.SHARE for op in row.ops}
    assert {op for op in sharing if not any(op in body for body in OPERATORS.values())} == set()


@pytest.mark.parametrize("body", OPERATORS.values(), ids=OPERATORS)
def test_share_codes_changes_no_number(graph, evaluate, body):
    outputs = "float y" + (", float rest" if ", rest" in body else "")
    model = graph("uint8[2,4,6,6] q", outputs, f"{START} {body}", **CONSTANTS)
    before = evaluate(model, q=CODES)
    assert ShareCodesPass()(model).modified
    after = evaluate(model, q=CODES)
    assert set(before) == set(after)
    assert all(np.array_equal(before[name], after[name]) for name in before)
    assert {value.dtype for value in model.graph.outputs} == {ir.DataType.FLOAT}


@pytest.mark.parametrize("body", OPERATORS.values(), ids=OPERATORS)
def test_share_codes_leaves_numbers_at_the_outputs_only(graph, body):
    outputs = "float y" + (", float rest" if ", rest" in body else "")
    model = graph("uint8[2,4,6,6] q", outputs, f"{START} {body}", **CONSTANTS)
    ShareCodesPass()(model)
    for node in model.graph:
        if node.op_type == "DequantizeLinear":
            assert all(value.is_graph_output() for value in node.outputs)


def test_pad_writes_the_zero_point(graph, evaluate):
    model = graph("uint8[2,4,6,6] q", "float y", f"{START} y = Pad(x, pads)", **CONSTANTS)
    ShareCodesPass()(model)
    pad = next(node for node in model.graph if node.op_type == "Pad")
    assert array(pad.inputs[2]) == 128
    assert not evaluate(model, q=CODES)["y"][:, 0].any()


def test_pad_with_another_number_is_refused(graph):
    model = graph(
        "uint8[2,4,6,6] q", "float y", f"{START} y = Pad(x, pads, one)", one=np.float32(1), **CONSTANTS
    )
    with pytest.raises(LowerError, match=r"pads with 1\.0"):
        ShareCodesPass().visit(model.graph.node(1))


def test_reflecting_pads_need_no_number(graph, evaluate):
    body = f'{START} y = Pad<mode="reflect">(x, pads)'
    model = graph("uint8[2,4,6,6] q", "float y", body, **CONSTANTS)
    before = evaluate(model, q=CODES)["y"]
    ShareCodesPass()(model)
    assert np.array_equal(evaluate(model, q=CODES)["y"], before)


def test_other_readers_keep_their_numbers(graph, evaluate):
    body = f"{START} y = MaxPool<kernel_shape=[2,2]>(x) z = Neg(x)"
    model = graph("uint8[2,4,6,6] q", "float y, float z", body, **CONSTANTS)
    before = evaluate(model, q=CODES)
    ShareCodesPass()(model)
    after = evaluate(model, q=CODES)
    assert all(np.array_equal(before[name], after[name]) for name in before)


@pytest.mark.parametrize(
    "body",
    ["y = MaxPool<kernel_shape=[2,2]>(f)", "x = DequantizeLinear(c, scale, zero) y = Transpose(x)"],
    ids=["float", "constant"],
)
def test_share_codes_leaves_alone_what_holds_no_codes(graph, body):
    model = graph("float[2,4,6,6] f", "float y", body, c=np.uint8([[1, 2]]), **CONSTANTS)
    assert not ShareCodesPass()(model).modified
