"""Packed weights: the same integer kernels, the same bits, on this ONNX Runtime and on an older one."""

from dataclasses import dataclass

import numpy as np
import onnx_ir as ir
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from edgekd.lower.graph import array
from edgekd.lower.lint import lint
from edgekd.lower.pack_weights import PackWeightsPass
from edgekd.lower.payload import layer_weights
from edgekd.runtimes.coverage import coverage
from edgekd.runtimes.onnx_runtime import open_session, optimized_graph, run_all, tap_everything

VALUES = {
    "int4": np.arange(-7, 8),
    "int3": np.arange(-3, 4),
    "ternary": np.arange(-1, 2),
    "table of 16": np.append(np.arange(-120, 105, 15), 127),
    "table of 16, dead channels": np.append(np.arange(-121, 104, 15), 127),
    "table of 8": np.arange(-127, 128, 36),
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
    "matrix": Layer("MatMul", (13, 6), (3, 13)),
    "one dimension": Layer("Conv", (4, 6, 3), (2, 6, 9)),
}


@pytest.fixture(scope="module")
def build(onnx_model):
    """Return a function that builds a layer of given codes in integers; half of its scales are < 0."""

    def build(layer, codes, rng):
        axis = 1 if layer.op == "MatMul" else 0
        channels = codes.shape[axis]
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
        inputs = "x, w" if layer.op == "MatMul" else "x, w, d"
        body = (
            f"x = DequantizeLinear(q, xs, z) w = DequantizeLinear<axis={axis}>(layer_w, ws, wz) "
            f"d = DequantizeLinear<axis=0>(b, bs) c = {layer.op}({inputs}) y = QuantizeLinear(c, ys, z)"
        )
        image = ",".join(map(str, layer.image))
        return onnx_model(f"uint8[{image}] q", "uint8 y", body, constants)

    return build


@pytest.fixture(scope="module")
def models(build):
    """Return (unpacked, packed, input) of every layer with every kind of codes."""
    made = {}
    for name, layer in LAYERS.items():
        for kind, values in VALUES.items():
            rng = np.random.default_rng(0)
            codes = np.zeros(layer.weights, np.int8)
            alive = np.arange(len(codes)) % 4 > 0 if "dead" in kind else np.ones(len(codes), bool)
            codes[alive] = rng.permutation(np.resize(values, codes[alive].size)).reshape(codes[alive].shape)
            unpacked = build(layer, codes, rng)
            packed = ir.from_proto(unpacked)
            assert PackWeightsPass()(packed).modified
            made[name, kind] = unpacked, packed, rng.integers(0, 256, layer.image).astype(np.uint8)
    return made


each = pytest.mark.parametrize(("name", "kind"), [(name, kind) for name in LAYERS for kind in VALUES])


@each
def test_packed_weights_run_in_the_same_kernel_with_the_same_bits(models, name, kind):
    unpacked, packed, x = models[name, kind]
    graphs = [optimized_graph(model.SerializeToString()) for model in (unpacked, ir.to_proto(packed))]
    before, after = ([node.op_type for node in graph.graph.node] for graph in graphs)
    assert before == after and {"QGemm", "QLinearConv", "QLinearMatMul"} & {*after}
    tensors = [tap_everything(graph, {"q": x}) for graph in graphs]
    assert coverage(graphs[1], {**tensors[1], "q": x}).fallbacks == ()
    assert np.unique(tensors[0]["y"]).size > 3
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
    held = (VALUES[kind].size - 1).bit_length()
    assert (after.bits, after.stored_bits) == (held, held)
    assert after.table_values == (VALUES[kind].size if "table" in kind else 0)
    held_bytes = packed.graph.initializers["layer_w"].const_value.nbytes
    assert after.weights * held / 8 <= held_bytes < after.weights * held / 8 + held


@settings(deadline=None)
@given(st.data(), st.sampled_from([2, 3]), st.booleans())
def test_any_codes_come_out_of_the_file_as_they_went_in(build, data, bits, table):
    every = st.lists(st.integers(-127, 127), min_size=2**bits, max_size=2**bits, unique=True)
    values = data.draw(every) if table else range(-(2 ** (bits - 1)), 2 ** (bits - 1))
    shape = data.draw(st.tuples(st.integers(1, 9), st.integers(1, 9)))
    codes = data.draw(arrays(np.int8, shape, elements=st.sampled_from(values)))
    layer = Layer("Gemm<transB=1>", shape, (4, shape[1]))
    rng = np.random.default_rng(0)
    unpacked = build(layer, codes, rng)
    packed = ir.from_proto(unpacked)
    PackWeightsPass()(packed)
    feeds = {"q": rng.integers(0, 256, layer.image).astype(np.uint8)}
    before, after = (
        run_all(open_session(model.SerializeToString()), feeds)["y"]
        for model in (unpacked, ir.to_proto(packed))
    )
    assert np.array_equal(before, after)


def test_an_older_onnx_runtime_gives_the_same_bits(models, run_in_both):
    here, there = run_in_both(
        {f"{name}, {kind}": (ir.to_proto(packed), x) for (name, kind), (_, packed, x) in models.items()}
    )
    assert here == there and len(here) == len(models)
