"""What a builder's log and an inspector say of layers; the lines are shortened from TensorRT-RTX 1.7.1."""

import json

import numpy as np
import onnx_ir as ir
import pytest

from edgekd.runtimes.tensorrt_coverage import (
    EngineLayer,
    engine_coverage,
    file_coverage,
    layers_of_inspector,
    layers_of_log,
)

TENSOR = (
    "{{ Name: {}, Dimensions: [-1,4,16,16], Strides: [1024,1,64,4], StrideOrder: [3,0,2,1], Datatype: {}, "
    "Format: (NHWC) Channel major format }}"
)
LINE = (
    "Name: {}, LayerType: {}, Inputs: [ {}], Constants: [ {}], Outputs: [ {}], TacticName: stub, "
    "StreamId: 0, Metadata: {}"
)
EMPTY = (
    "Name: shape_0, LayerType: shape_call, Inputs: [], Constants: [], Outputs: [], TacticName: , "
    "StreamId: 0, Metadata: "
)


def _line(name, kind, reads, onnx):
    given, constant = (TENSOR.format(f"t{index}", type_) for index, type_ in enumerate((reads, "Int8")))
    metadata = "".join(f"[ONNX Layer: {layer}]" for layer in onnx)
    return LINE.format(name, kind, given, constant, TENSOR.format("y", "Float"), metadata)


LOG = "\n".join(
    [
        "Layers:",
        EMPTY,
        _line("quantize_1", "kgen", "Float", ["first", "x.q"]),
        _line("first_2", "correlation", "Int8", ["first"]),
        _line("second_3", "correlation", "Float", ["second"]),
    ]
)


def test_layers_of_log_reads_names_types_and_operators():
    assert layers_of_log(LOG) == (
        EngineLayer("shape_0", "shape_call", (), ()),
        EngineLayer("quantize_1", "kgen", ("float", "int8"), ("first", "x.q")),
        EngineLayer("first_2", "correlation", ("int8", "int8"), ("first",)),
        EngineLayer("second_3", "correlation", ("float", "int8"), ("second",)),
    )
    assert layers_of_log("something else") == ()


@pytest.mark.parametrize("key", ["Format/Datatype", "Datatype"])
def test_layers_of_inspector_reads_both_forms_of_its_json(key):
    kind = "Row major Int8 format" if key.startswith("Format") else "Int8"
    layer = {
        "Name": "first_2",
        "LayerType": "CaskConvolution",
        "Inputs": [{"Name": "x", "Dimensions": [1, 4, 16, 16], key: kind}],
        "Metadata": "[ONNX Layer: first]",
    }
    found = layers_of_inspector(json.dumps({"Layers": [layer], "Bindings": []}).encode())
    assert found == (EngineLayer("first_2", "CaskConvolution", ("int8",), ("first",)),)
    assert found[0].multiplies


@pytest.mark.parametrize("shown", [b"", b"[]", b'{"Layers": ["names only"]}', b'{"Layers": 1}'])
def test_an_inspector_that_says_nothing_is_no_mistake(shown):
    assert layers_of_inspector(shown) == ()


def test_a_convolution_that_the_engine_computes_in_float_is_a_fallback():
    found = engine_coverage(layers_of_log(LOG), None, {"first_2": 30.0, "second_3": 10.0})
    assert (found.integer_ops, found.integer_time_share) == (1, 0.75)
    (fallback,) = found.fallbacks
    assert fallback.node == "second"
    assert "the engine computes it with float" in fallback.reason


def _product(onnx_model, body):
    constants = {"w": np.float32([[1, 2], [3, 4]]), "c": np.int8([[1, 2], [3, 4]]), "s": np.float32(0.1)}
    constants["z"] = np.int8(0)
    model = ir.from_proto(onnx_model("float[n,2] x", "float[n,2] y", body, constants))
    list(model.graph)[-1].name = "head"
    return model


def test_an_operator_that_no_layer_names_is_not_called_integer(onnx_model):
    found = engine_coverage(layers_of_log(LOG), _product(onnx_model, "y = MatMul(x, w)"), {})
    assert [item.node for item in found.fallbacks] == ["head"]
    assert "does not say" in found.fallbacks[0].reason


def test_file_coverage_goes_by_the_quantizers(onnx_model):
    quantized = "q = QuantizeLinear(x, s, z) d = DequantizeLinear(q, s, z)"
    weights = "v = DequantizeLinear(c, s, z)"
    both = file_coverage(_product(onnx_model, f"{quantized} {weights} y = MatMul(d, v)"))
    assert (both.integer_ops, both.fallbacks) == (1, ())
    one = file_coverage(_product(onnx_model, f"{quantized} y = MatMul(d, w)"))
    assert [item.node for item in one.fallbacks] == ["head"]
    assert "[both_quantized]" in one.fallbacks[0].reason
