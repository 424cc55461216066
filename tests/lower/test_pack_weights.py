"""Packed weights: the same integer kernels, the same bits, on this ONNX Runtime and on an older one."""

import math
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir
import pytest

from edgekd.lower.graph import array
from edgekd.lower.lint import lint
from edgekd.lower.pack_weights import PackWeightsPass
from edgekd.lower.payload import layer_weights
from edgekd.runtimes.coverage import coverage
from edgekd.runtimes.onnx_runtime import open_session, optimized_graph, run_all, tap_everything

VALUES = {
    "int4": np.arange(-7, 8),
    "ternary": np.arange(-1, 2),
    "table of 16": np.append(np.arange(-120, 105, 15), 127),
    "table of 4": np.int64([-90, -20, 50, 127]),
}


@dataclass(frozen=True)
class Layer:
    """An operator, the shape of its weights and of its input."""

    op: str
    weights: tuple[int, ...]
    image: tuple[int, ...]


LAYERS = {
    "convolution": Layer("Conv", (8, 3, 3, 3), (2, 3, 6, 6)),
    "odd pointwise": Layer("Conv", (17, 5, 1, 1), (2, 5, 4, 4)),
    "depthwise": Layer("Conv<group=21>", (21, 1, 3, 3), (1, 21, 5, 5)),
    "grouped": Layer("Conv<group=4>", (8, 2, 3, 3), (2, 8, 5, 5)),
    "linear": Layer("Gemm<transB=1>", (5, 13), (3, 13)),
    "one dimension": Layer("Conv", (4, 6, 3), (2, 6, 9)),
}


@pytest.fixture(scope="module")
def models(onnx_model):
    """Return (unpacked, packed, input) of every layer with every kind of codes; half of the scales < 0."""
    made = {}
    for name, layer in LAYERS.items():
        for kind, values in VALUES.items():
            rng = np.random.default_rng(0)
            codes = rng.permutation(np.resize(values, math.prod(layer.weights))).reshape(layer.weights)
            codes = codes.astype(np.int8)
            channels = len(codes)
            scale = (rng.uniform(0.001, 0.01, channels) * rng.choice([-1, 1], channels)).astype(np.float32)
            constants = {
                "layer_w": codes,
                "ws": scale,
                "wz": np.zeros(channels, np.int8),
                "b": rng.integers(-3000, 3000, channels).astype(np.int32),
                "bs": np.float32(0.02) * scale,
                "xs": np.float32(0.02),
                "ys": np.float32(0.03),
                "z": np.uint8(128),
            }
            body = (
                "x = DequantizeLinear(q, xs, z) w = DequantizeLinear<axis=0>(layer_w, ws, wz) "
                f"d = DequantizeLinear<axis=0>(b, bs) c = {layer.op}(x, w, d) y = QuantizeLinear(c, ys, z)"
            )
            image = ",".join(map(str, layer.image))
            unpacked = onnx_model(f"uint8[{image}] q", "uint8 y", body, constants)
            packed = ir.from_proto(unpacked)
            assert PackWeightsPass()(packed).modified
            x = rng.integers(0, 256, layer.image).astype(np.uint8)
            made[name, kind] = unpacked, packed, x
    return made


each = pytest.mark.parametrize(("name", "kind"), [(name, kind) for name in LAYERS for kind in VALUES])


@each
def test_packed_weights_run_in_the_same_kernel_with_the_same_bits(models, name, kind):
    unpacked, packed, x = models[name, kind]
    graphs = [optimized_graph(model.SerializeToString()) for model in (unpacked, ir.to_proto(packed))]
    before, after = ([node.op_type for node in graph.graph.node] for graph in graphs)
    assert before == after and ("QGemm" in after or "QLinearConv" in after)
    tensors = [tap_everything(graph, {"q": x}) for graph in graphs]
    assert coverage(graphs[1], {**tensors[1], "q": x}).fallbacks == ()
    assert np.unique(tensors[0]["y"]).size > 5
    assert np.array_equal(tensors[0]["y"], tensors[1]["y"])
    written = run_all(open_session(ir.to_proto(packed).SerializeToString(), optimize=False), {"q": x})["y"]
    assert np.abs(written.astype(int) - tensors[0]["y"]).max() <= 1  # float32 sums: it says what it computes


@each
def test_readers_of_a_graph_see_the_codes(models, name, kind):
    unpacked, packed, _ = models[name, kind]
    plain = ir.from_proto(unpacked)
    (weights,) = (node for node in packed.graph if node.name == "" and node.outputs[0].name == "w")
    assert np.array_equal(array(weights.inputs[0]), array(plain.graph.initializers["layer_w"]))
    assert [vars(found) for found in lint(packed)] == [vars(found) for found in lint(plain)]
    (before,), (after,) = layer_weights(plain), layer_weights(packed)
    assert (after.name, after.weights, after.channels) == (before.name, before.weights, before.channels)
    held = 2 if VALUES[kind].size <= 4 else 4
    assert (after.bits, after.stored_bits) == (held, held)
    assert after.table_values == (VALUES[kind].size if "table" in kind else 0)
    assert ir.to_proto(packed.graph.initializers["layer_w"].const_value).ByteSize() <= (
        after.weights * held / 8 + 40
    )


def test_an_older_onnx_runtime_gives_the_same_bits(models, run_in_both):
    here, there = run_in_both(
        {f"{name}, {kind}": (ir.to_proto(packed), x) for (name, kind), (_, packed, x) in models.items()}
    )
    assert here == there and len(here) == len(models)
