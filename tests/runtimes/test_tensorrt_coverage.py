"""What an engine computes in integers, by logs of TensorRT-RTX's builder, which needs no GPU."""

import numpy as np
import onnx
import onnx_ir as ir
import pytest

from edgekd.runtimes.here import HERE
from edgekd.runtimes.tensorrt_coverage import (
    EngineLayer,
    engine_coverage,
    file_coverage,
    layers_of_inspector,
    layers_of_log,
)
from edgekd.runtimes.tensorrt_target import TensorRtRtxTarget

RNG = np.random.default_rng(0)


def codes(*shape: int) -> np.ndarray:
    return RNG.integers(-127, 128, shape).astype(np.int8)


WEIGHTS = {
    "full": codes(8, 8, 3, 3),
    "deep": codes(8, 1, 3, 3),
    "linear": codes(8, 5),
    "swapped": codes(8, 8, 2, 2),
    "float_full": codes(8, 8, 3, 3).astype(np.float32),
    "float_linear": codes(8, 5).astype(np.float32),
    "s": np.float32(0.05),
    "z": np.int8(0),
    "h": np.float16(0.05),
}


def quantized(source: str, name: str) -> str:
    return f"{name}q = QuantizeLinear({source}, s, z) {name} = DequantizeLinear({name}q, s, z) "


IMAGE, A = ("float[N,8,12,12] x", "float[N,8,12,12] y"), quantized("x", "a")
ROW, TOKENS = ("float[N,8] x", "float[N,5] y"), ("float[N,2,8,8] x", "float[N,2,8,8] y")
HALF = ("float16[N,4,64,64] x", "float16[N,4,64,64] y")
TURNED = "t = Transpose<perm=[0,1,3,2]>(x) "
CASES = {
    "convolution": (*IMAGE, A + "w = DequantizeLinear(full, s, z) y = Conv<pads=[1,1,1,1]>(a, w)", ""),
    "depthwise": (
        *IMAGE,
        A + "w = DequantizeLinear(deep, s, z) y = Conv<pads=[1,1,1,1], group=8>(a, w)",
        "",
    ),
    "linear": (*ROW, A + "w = DequantizeLinear(linear, s, z) y = MatMul(a, w)", ""),
    "of activations": (*TOKENS, A + TURNED + quantized("t", "b") + "y = MatMul(a, b)", ""),
    "float convolution": (*IMAGE, "y = Conv<pads=[1,1,1,1]>(x, float_full)", "float"),
    "float linear": (*ROW, "y = MatMul(x, float_linear)", "float"),
    "float of activations": (*TOKENS, TURNED + "y = MatMul(x, t)", "float"),
    "fused attention": (
        *HALF,
        TURNED + "m = MatMul(x, t) n = Mul(m, h) p = Softmax(n) y = MatMul(p, x)",
        "half",
    ),
    "transposed convolution": (
        "float[N,8,12,12] x",
        "float[N,8,24,24] y",
        "w = DequantizeLinear(swapped, s, z) y = ConvTranspose<strides=[2,2]>(x, w)",
        "float",
    ),
}


@pytest.fixture
def built(onnx_model, tmp_path, monkeypatch):
    """Return a function that builds an engine with TensorRT-RTX and returns its layers and the file."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    if not TensorRtRtxTarget().readiness().version:
        pytest.skip("TensorRT-RTX is not installed (pip install 'edgekd[tensorrt-rtx]')")

    def build(inputs, outputs, body, *, named=True):
        model = onnx_model(inputs, outputs, body, WEIGHTS)
        for node in model.graph.node:
            node.name = f"{node.op_type}_{node.output[0]}" if named else ""
        onnx.save(model, tmp_path / "model.onnx")
        log = TensorRtRtxTarget().build(tmp_path / "model.onnx", tmp_path / "model.plan", host=HERE)
        return layers_of_log(log), ir.from_proto(model)

    return build


@pytest.mark.parametrize(("inputs", "outputs", "body", "computed_with"), CASES.values(), ids=CASES)
def test_it_says_of_every_product_what_it_is_computed_with(built, inputs, outputs, body, computed_with):
    layers, model = built(inputs, outputs, body)
    products = {node.name for node in model.graph if node.op_type in ("Conv", "MatMul", "ConvTranspose")}
    covered = engine_coverage(layers, model, {})
    reasons = {item.node: item.reason for item in covered.fallbacks}
    if computed_with:
        assert reasons.keys() == products
        assert {reason.partition(";")[0] for reason in reasons.values()} == {
            f"the engine computes it with {computed_with}"
        }
    else:
        assert (covered.integer_ops, reasons) == (len(products), {})
    assert {item.node for item in file_coverage(model).fallbacks} == set(reasons)


def test_a_planted_float_layer_is_told_and_costs_its_time(built):
    layers, model = built(
        *IMAGE,
        A
        + "w = DequantizeLinear(full, s, z) c = Conv<pads=[1,1,1,1]>(a, w) r = Relu(c)"
        + "d = Conv<pads=[1,1,1,1]>(r, float_full) "
        + quantized("d", "e")
        + "y = Conv<pads=[1,1,1,1]>(e, w)",
    )
    times = {layer.name: 3.0 if "Conv_d" in layer.onnx else 1.0 for layer in layers}
    covered = engine_coverage(layers, model, times)
    assert [item.node for item in covered.fallbacks] == ["Conv_d"]
    assert covered.integer_ops == 2
    assert covered.nodes[0].node == "Conv_d"
    assert covered.integer_time_share == pytest.approx(2 / sum(times.values()))  # two products of 1 each


def test_operators_without_names_are_found_by_what_they_make(built):
    body = A + "w = DequantizeLinear(full, s, z) c = Conv<pads=[1,1,1,1]>(a, w) "
    layers, model = built(*IMAGE, body + "y = Conv<pads=[1,1,1,1]>(c, float_full)", named=False)
    covered = engine_coverage(layers, model, {})
    assert (covered.integer_ops, [item.node for item in covered.fallbacks]) == (1, ["y"])


@pytest.mark.parametrize("order", [1, -1])
def test_a_product_of_which_a_part_is_float_is_float(order):
    parts = [EngineLayer(f"c{kind}", "correlation", (kind,), ("Conv_c",)) for kind in ("int8", "half")]
    (fallback,) = engine_coverage(parts[::order], None, {}).fallbacks
    assert fallback.reason == "the engine computes it with half"


def test_layers_of_an_inspector_of_either_generation():
    told = b"""{"Layers": [
        {"Name": "c", "LayerType": "CaskConvolution", "Inputs": [{"Format/Datatype": "Int8 NC/32HW32"}],
         "Metadata": "[ONNX Layer: Conv_a]\\u001e[ONNX Layer: Relu_b]"},
        {"Name": "d", "LayerType": "gemm", "Inputs": [{"Datatype": "Half", "Format": "Linear"}]},
        "without details"
    ]}"""
    assert layers_of_inspector(told) == (
        EngineLayer("c", "CaskConvolution", ("int8",), ("Conv_a", "Relu_b")),
        EngineLayer("d", "gemm", ("half",), ()),
    )
    assert layers_of_inspector(b"") == ()
