"""Mistakes planted in a TensorRT file: ``inspect --target`` names each by its rule, before it builds."""

import json

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from onnx import helper, numpy_helper

from edgekd.lower.tensorrt_dialect import lower_for_tensorrt


def _behind(model, node, op_type):
    return next(
        other for other in model.graph.node if other.op_type == op_type and node.output[0] in other.input
    )


def _constant(model, value, name):
    model.graph.initializer.append(numpy_helper.from_array(np.asarray(value), name))
    return name


def _quantizer_behind(model, op_type):
    makers = {name: node for node in model.graph.node for name in node.output}
    return next(
        node for node in model.graph.node
        if node.op_type == "QuantizeLinear" and makers[node.input[0]].op_type == op_type
    )  # fmt: skip


def zero_point(model):
    quantize = _quantizer_behind(model, "Conv")
    zero = _constant(model, np.uint8(128), "z128")
    quantize.input[2] = _behind(model, quantize, "DequantizeLinear").input[2] = zero


def relu_to_255(model):
    quantize = _quantizer_behind(model, "Relu")
    zero = _constant(model, np.uint8(0), "z0")
    quantize.input[2] = _behind(model, quantize, "DequantizeLinear").input[2] = zero


def integer_bias(model):
    conv = next(node for node in model.graph.node if node.op_type == "Conv")
    codes, scale = (
        _constant(model, np.zeros(8, np.int32), "codes"),
        _constant(model, np.float32(1e-4), "unit"),
    )
    dequantize = helper.make_node("DequantizeLinear", [codes, scale], ["bias_in_float"])
    model.graph.node.insert(list(model.graph.node).index(conv), dequantize)
    conv.input[2] = "bias_in_float"


def two_quantizers_on_a_residual(model):
    add = next(node for node in model.graph.node if node.op_type == "Add")
    scale, zero = (
        _constant(model, np.float32(0.07), "other_scale"),
        _constant(model, np.int8(0), "other_zero"),
    )
    place = list(model.graph.node).index(add)
    model.graph.node.insert(place, helper.make_node("QuantizeLinear", [add.input[1], scale, zero], ["again"]))
    again = helper.make_node("DequantizeLinear", ["again", scale, zero], ["again_in_float"])
    model.graph.node.insert(place + 1, again)
    add.input[1] = "again_in_float"


@pytest.mark.parametrize(
    ("plant", "rule", "code"),
    [
        (zero_point, "int8_codes", 3),
        (relu_to_255, "relu_range", 0),
        (integer_bias, "float_bias", 3),
        (two_quantizers_on_a_residual, "one_quantizer", 0),
    ],
)
def test_a_planted_mistake_is_named_by_its_rule(
    plant, rule, code, residual_portable, tmp_path, cli, monkeypatch
):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    model = ir.to_proto(lower_for_tensorrt(ir.load(residual_portable.marked), metadata={}))
    plant(model)
    onnx.save(model, tmp_path / "planted.onnx")
    done = cli("inspect", str(tmp_path / "planted.onnx"), "--target", "tensorrt_rtx", "--json")
    assert done.code == code, done.out
    assert rule in {found["rule"] for found in json.loads(done.out)["lint"]}


def test_a_clean_file_has_costs_alone(residual_portable, tmp_path, cli, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    model = ir.to_proto(lower_for_tensorrt(ir.load(residual_portable.marked), metadata={}))
    onnx.save(model, tmp_path / "clean.onnx")
    done = cli("inspect", str(tmp_path / "clean.onnx"), "--target", "tensorrt_rtx", "--json")
    told = json.loads(done.out)
    assert (done.code, told["coverage"]["fallbacks"]) == (0, [])
    assert {found["severity"] for found in told["lint"]} <= {"risk"}
