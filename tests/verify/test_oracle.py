"""The oracle finds what is planted: one code, one scale, one zero point, one number of the engine."""

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from edgekd.runtimes.onnx_runtime import tap_everything
from edgekd.verify.oracle import check_against_oracle


@pytest.fixture(scope="module")
def run(residual):
    """Return the optimised graph of a network, and every tensor that it computed."""
    feeds = {"image": residual.inputs}
    return residual.optimized, {**tap_everything(residual.optimized, feeds), **feeds}


def planted(optimized, node, index, change):
    """Return a copy in which ``change`` edits constant input ``index`` of ``node``, for this node alone."""
    model = onnx.ModelProto()
    model.CopyFrom(optimized)
    stored = {item.name: item for item in model.graph.initializer}
    data = numpy_helper.to_array(stored[node.input[index]]).copy()
    model.graph.initializer.append(numpy_helper.from_array(change(data), "planted"))
    copied = next(other for other in model.graph.node if other.output[0] == node.output[0])
    copied.input[index] = "planted"
    return model


def constants(optimized):
    """Yield (node, index) of every scale, zero point, weight and bias of the integer operators."""
    stored = {item.name for item in optimized.graph.initializer}
    for node in optimized.graph.node:
        if node.op_type.startswith(("QLinear", "QGemm")):
            yield from ((node, index) for index, name in enumerate(node.input) if name in stored)


def nudge(data):
    """Change a weight or zero point by one code, a scale by a tenth, a bias by 1000.

    In the last channel, because the first one of the network is dead.
    """
    if data.dtype.itemsize == 1 and data.ndim <= 1:
        return data ^ 1
    last = data.reshape(-1)[-1:]
    if data.dtype == np.float32:
        last *= np.float32(1.1)
    else:
        last += 1000 if data.dtype == np.int32 else 1
    return data


def test_the_engine_itself_has_no_mismatch(run):
    found = check_against_oracle(*run)
    assert (found.mismatches, found.first_mismatch, found.unchecked) == (0, None, ())
    assert found.nodes == 5  # two convolutions, sum, pool, linear layer
    assert found.values > 1000


def test_every_planted_constant_is_found_at_its_operator(run):
    optimized, tensors = run
    planted_in = 0
    for node, index in constants(optimized):
        found = check_against_oracle(planted(optimized, node, index, nudge), tensors)
        assert found.mismatches > 0, (node.op_type, index)
        assert found.first_mismatch.startswith(f"{node.name} ({node.op_type}) at (")
        planted_in += 1
    assert planted_in > 25


def test_a_single_weight_code_is_found(run):
    optimized, tensors = run
    for node in optimized.graph.node:
        if node.op_type in ("QLinearConv", "QGemm"):
            found = check_against_oracle(planted(optimized, node, 3, nudge), tensors)
            assert 0 < found.mismatches < tensors[node.output[0]].size
            assert node.name in found.first_mismatch


def test_a_wrong_number_of_the_engine_is_found_once(run):
    optimized, tensors = run
    add = next(node for node in optimized.graph.node if node.op_type == "QLinearAdd")
    wrong = tensors[add.output[0]].copy()
    wrong[1, 2, 3, 4] ^= 1
    found = check_against_oracle(optimized, {**tensors, add.output[0]: wrong})
    own = f"{add.name} (QLinearAdd) at (1, 2, 3, 4): engine {wrong[1, 2, 3, 4]}"
    assert found.first_mismatch.startswith(own)
    # operators behind it are fed the wrong number, and one of them may notice
    assert 1 <= found.mismatches <= 3


def test_a_wrong_logit_is_found(run):
    optimized, tensors = run
    wrong = tensors["logits"].copy()
    wrong[0, 0] *= np.float32(1.00001)
    found = check_against_oracle(optimized, {**tensors, "logits": wrong})
    assert found.mismatches == 1
    assert "QGemm" in found.first_mismatch


def test_integer_operators_without_a_model_are_named(onnx_model):
    body = "y = com.microsoft.QLinearWhere(c, x, s, z, x, s, z, s, z)"
    constants = {"s": np.float32(0.1), "z": np.uint8(128), "c": np.bool_([True, False, True, False])}
    model = onnx_model("uint8[4] x", "uint8[4] y", body, constants, domain="com.microsoft")
    feeds = {"x": np.arange(4, dtype=np.uint8)}
    found = check_against_oracle(model, {**feeds, **tap_everything(model, feeds)})
    assert (found.nodes, found.unchecked) == (0, ("QLinearWhere",))
