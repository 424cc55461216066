"""What is trained is what TensorRT gets: numbers on ONNX Runtime, the build by the real TensorRT-RTX."""

import functools

import numpy as np
import onnx
import onnx_ir as ir
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter
from torch import nn

from edgekd.errors import LowerError
from edgekd.export.export_marked import write_marked
from edgekd.lower.float_reference import activation_marks, float_reference
from edgekd.lower.graph import array
from edgekd.lower.marked import MARKED
from edgekd.lower.tensorrt_dialect import lower_for_tensorrt
from edgekd.lower.tensorrt_lint import lint_tensorrt
from edgekd.quant.calibrate import calibrate
from edgekd.quant.lsq import LsqSpec
from edgekd.quant.prepare import prepare
from edgekd.quant.scheme import QuantScheme
from edgekd.runtimes.layer_reference import compare_layers
from edgekd.runtimes.onnx_runtime import open_session, run_all, tap
from edgekd.unions import Network
from edgekd.zoo.pixels import ImageNetwork, PixelGrid

IMAGENET = PixelGrid.like((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
PIXELS = torch.randint(0, 256, (4, 16, 16, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
ROUNDING = 1e-4  # the part of the codes that float sums in another order may round to a neighbour


class Mobile(nn.Module):
    """Raw pixels of zero point 114, depthwise, ReLU6, squeeze-and-excite, an option-A shortcut, logits."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, stride=2, padding=1, bias=False)
        self.norm, self.nothing = nn.BatchNorm2d(8), nn.Identity()  # timm's drop_block stands between the two
        self.depthwise = nn.Conv2d(8, 8, 3, padding=1, groups=8)
        self.squeeze, self.excite = nn.Conv2d(8, 4, 1), nn.Conv2d(4, 8, 1)
        self.wide = nn.Conv2d(8, 16, 3, stride=2, padding=1, bias=False)
        self.norm2 = nn.BatchNorm2d(16)
        self.linear = nn.Linear(16, 5)

    def forward(self, x):
        x = F.relu6(self.nothing(self.norm(self.stem(x))))
        x = F.relu6(self.depthwise(x))
        x = x * F.hardsigmoid(self.excite(F.relu(self.squeeze(F.adaptive_avg_pool2d(x, 1)))))
        x = F.relu(self.norm2(self.wide(x)) + F.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, 4, 4)))
        return self.linear(x.mean((2, 3)))


class Branches(nn.Module):
    """Pixels with several readers, one of them padded; shuffled channels; pools, LeakyReLU."""

    def __init__(self):
        super().__init__()
        self.left, self.right = nn.Conv2d(3, 6, 3, padding=1, groups=3), nn.Conv2d(3, 6, 2)
        self.mixed = nn.Conv2d(12, 8, 1)
        self.last = nn.Conv2d(8, 3, 1)

    def forward(self, x):
        x = torch.cat([F.leaky_relu(self.left(x), 0.1), self.right(F.pad(x, (0, 1, 0, 1)))], 1)
        x = x.view(x.shape[0], 2, 6, *x.shape[2:]).transpose(1, 2).flatten(1, 2)
        x = self.mixed(F.max_pool2d(F.silu(x), 3, stride=2, padding=1))
        return self.last(F.avg_pool2d(F.relu6(x) + x, 2))


class Tokens(nn.Module):
    """A transformer block on patches of the image: LayerNorm, attention, GELU, a token of its own."""

    def __init__(self):
        super().__init__()
        self.patches = nn.Conv2d(3, 8, 4, stride=4)
        self.token, self.place = nn.Parameter(torch.randn(1, 1, 8)), nn.Parameter(torch.randn(1, 17, 8))
        self.norm, self.norm2 = nn.LayerNorm(8), nn.LayerNorm(8)
        self.qkv, self.up, self.down, self.head = (nn.Linear(8, n) for n in (24, 16, 16, 4))
        self.down = nn.Linear(16, 8)

    def forward(self, x):
        tokens = self.patches(x).flatten(2).transpose(1, 2)
        x = torch.cat([self.token.expand(x.shape[0], -1, -1), tokens], 1) + self.place
        q, k, v = self.qkv(self.norm(x)).chunk(3, dim=-1)
        x = x + torch.softmax(q @ k.transpose(1, 2) * 0.35, dim=-1) @ v
        x = x + self.down(F.gelu(self.up(self.norm2(x))))
        return self.head(x[:, 0])


NETWORKS = {"mobile": Mobile, "branches": Branches, "tokens": Tokens}
FEW_BITS = QuantScheme(weights=LsqSpec(bits=4), activations=LsqSpec(bits=4), residual_bits=4)


@pytest.fixture(scope="module")
def marked(tmp_path_factory, with_statistics):
    """Return a function that trains nothing, but takes a network to its marked graph."""

    @functools.cache
    def make(name, profile, *, scheme=None):
        torch.manual_seed(0)
        return write(ImageNetwork(IMAGENET, NETWORKS[name]()), PIXELS, profile, scheme)

    def write(network, images, profile, scheme=None):
        folder = tmp_path_factory.mktemp("marked")
        student = prepare(with_statistics(network), images[:2], profile, scheme=scheme)
        calibrate(student, [images], "minmax")
        write_marked(folder, student, images)
        return folder / MARKED

    make.write = write
    return make


def layers_of(path, lowered, images):
    """Return every layer of the lowered graph, run as it is written, against the marked one."""
    proto = ir.to_proto(lowered)
    marks = activation_marks(ir.load(path))
    session = open_session(tap(proto, [mark.codes_name for mark in marks]), optimize=False)
    feeds = {proto.graph.input[0].name: images.numpy()}
    values = run_all(session, feeds)
    codes = {mark.name: values[mark.codes_name] for mark in marks}
    assert {value.dtype for value in codes.values()} == {np.dtype(np.int8)}
    outputs = {value.name: values[value.name] for value in proto.graph.output}
    return compare_layers(path, codes, feeds, outputs)


def assert_exact(path, lowered, images):
    layers = layers_of(path, lowered, images)
    assert [layer for layer in layers if layer.off_by_more] == []
    assert sum(layer.off_by_one for layer in layers) <= ROUNDING * sum(layer.values for layer in layers)


@pytest.mark.parametrize("profile", ["tensorrt", "portable"])
@pytest.mark.parametrize("name", NETWORKS)
def test_a_lowered_network_is_exact_and_builds(name, profile, marked, build_with_rtx):
    path = marked(name, profile)
    lowered = lower_for_tensorrt(ir.load(path), metadata={})
    assert_exact(path, lowered, PIXELS)
    found = {(finding.rule, finding.severity) for finding in lint_tensorrt(lowered)}
    assert found <= {("residual_add", "risk"), ("one_quantizer", "risk")}
    assert profile == "portable" or found == set()
    built = build_with_rtx(ir.to_proto(lowered))
    assert built.engine_bytes, built.complaints
    assert built.complaints == ()


def test_few_bits_are_int8_with_a_clip_in_front(marked, build_with_rtx):
    path = marked("mobile", "tensorrt", scheme=FEW_BITS)
    lowered = lower_for_tensorrt(ir.load(path), metadata={})
    assert_exact(path, lowered, PIXELS)
    kinds = {value.const_value.dtype for value in lowered.graph.initializers.values()}
    assert kinds == {ir.DataType.FLOAT, ir.DataType.INT8, ir.DataType.INT64}
    assert build_with_rtx(ir.to_proto(lowered)).engine_bytes


@pytest.mark.slow
@pytest.mark.parametrize("text", ["mobilenet_v2", "resnet_cifar", "timm:test_efficientnet_gn"])
def test_networks_of_every_origin_are_exact_and_build(text, marked, build_with_rtx, torchvision):
    torch.manual_seed(0)
    body = TypeAdapter(Network).validate_python(text).build(channels=3, classes=10, size=(32, 32))
    images = torch.randint(0, 256, (4, 32, 32, 3), dtype=torch.uint8)
    path = marked.write(ImageNetwork(IMAGENET, body), images, "tensorrt")
    for parts in ("fp32", "fp16"):
        lowered = lower_for_tensorrt(ir.load(path), metadata={}, float_parts=parts)
        assert build_with_rtx(ir.to_proto(lowered)).engine_bytes
        if parts == "fp32":
            assert_exact(path, lowered, images)


def test_lowered_graph_is_plain_onnx_that_tensorrt_10_reads(marked, tmp_path):
    model = lower_for_tensorrt(ir.load(marked("mobile", "tensorrt")), metadata={"classes": "a b"})
    ir.save(model, tmp_path / "model.onnx")
    onnx.checker.check_model(tmp_path / "model.onnx", full_check=True)
    stored = onnx.load(tmp_path / "model.onnx")
    assert [(item.domain, item.version) for item in stored.opset_import] == [("", 20)]
    assert stored.ir_version == 9
    assert {item.key: item.value for item in stored.metadata_props} == {"classes": "a b"}
    names = [node.name for node in stored.graph.node]
    assert len({*names, ""}) == len(names) + 1
    assert {"squeeze", "squeeze.relu", "squeeze.quantize", "squeeze.dequantize", "stem.w.dequantize"} <= {
        *names
    }


def test_float16_keeps_inputs_and_outputs_and_nearly_the_numbers(marked, build_with_rtx):
    path = marked("mobile", "tensorrt")
    model = lower_for_tensorrt(ir.load(path), metadata={}, float_parts="fp16")
    kinds = {value.const_value.dtype for value in model.graph.initializers.values()}
    assert kinds == {ir.DataType.FLOAT16, ir.DataType.INT8, ir.DataType.INT64}
    assert [value.dtype for value in (*model.graph.inputs, *model.graph.outputs)] == [
        ir.DataType.UINT8,
        ir.DataType.FLOAT,
    ]
    layers = layers_of(path, model, PIXELS)
    other = sum(layer.off_by_one + layer.off_by_more for layer in layers)
    assert other <= 0.02 * sum(layer.values for layer in layers)
    assert build_with_rtx(ir.to_proto(model)).engine_bytes


# -- pixels ------------------------------------------------------------------------------------------------

PIXEL = "x = edgekd.Pixels<scale=0.5, zero_point={zero}>(image) "
MARK = 'y = edgekd.FakeQuant<qmin={qmin}, qmax={qmax}, axis=-1, mark="m">(c, s)'
WEIGHTS = 'w = edgekd.FakeQuant<qmin=-127, qmax=127, axis=0, mark="conv.weight">(w0, ws) '


def test_pixels_are_shifted_into_the_bias_as_computed_by_hand(graph):
    """One pixel, 200, of zero point 114, means 0.5 * 86 = 43. Only the weight in the middle, 2, meets it: the
    others, 1, meet padding, which means 0. So 2 * 43 + 0.25 = 86.25. The codes are 200 - 128 = 72 and, of the
    padding, 114 - 128 = -14, so the bias has to be 0.25 + 0.5 * 14 * (2 + 8 * 1) = 70.25.
    """
    weights = np.ones((1, 1, 3, 3), np.float32)
    weights[0, 0, 1, 1] = 2
    body = PIXEL.format(zero=114) + WEIGHTS + "y = Conv<pads=[1,1,1,1]>(x, w, b)"
    constants = {"w0": weights, "ws": np.float32([1]), "b": np.float32([0.25])}
    model = graph("uint8[1,1,1,1] image", "float[1,1,1,1] y", body, **constants)
    lowered = lower_for_tensorrt(model, metadata={})
    (conv,) = (node for node in lowered.graph if node.op_type == "Conv")
    assert array(conv.inputs[2]) == np.float32([70.25])
    assert array(conv.inputs[2].graph.initializers["pixels.zero"]) == 114
    codes = next(node for node in lowered.graph if node.op_type == "QuantizeLinear").outputs[0]
    tapped = open_session(tap(ir.to_proto(lowered), [codes.name]), optimize=False)
    values = run_all(tapped, {"image": np.full((1, 1, 1, 1), 200, np.uint8)})
    assert values[codes.name].ravel().tolist() == [-14] * 4 + [72] + [-14] * 4
    assert values["y"].item() == 86.25


RNG = np.random.default_rng(0)
CONSTANTS = {
    "w0": RNG.normal(0, 1, (6, 3, 3, 3)).astype(np.float32),
    "ws": np.float32([0.02, 0.03, 0.02, 0.01, 0.02, 0.01]),
    "wg": RNG.normal(0, 1, (6, 1, 3, 3)).astype(np.float32),
    "l0": RNG.normal(0, 1, (4, 108)).astype(np.float32),
    "ls": np.float32([0.02, 0.03, 0.02, 0.01]),
    "m": RNG.normal(0, 1, (108, 4)).astype(np.float32),
    "b": np.float32([1, 2, 3, 4, 5, 6]),
    "s": np.float32(0.5),
    "rows": np.int64([0, -1]),
    "pads": np.int64([0, 0, 1, 0, 0, 0, 0, 2]),
    "starts": np.int64([1]),
    "ends": np.int64([5]),
    "axis": np.int64([2]),
}
GROUPED = WEIGHTS.replace("w0", "wg")
LINEAR = WEIGHTS.replace("w0, ws", "l0, ls")
READERS = {
    "convolution": WEIGHTS + "y = Conv<pads=[1,0,2,1]>(x, w, b)",
    "convolution without bias": WEIGHTS + "y = Conv<strides=[2,2]>(x, w)",
    "grouped": GROUPED + "y = Conv<group=3, pads=[1,1,1,1]>(x, w, b)",
    "two, padded differently": WEIGHTS
    + "l = Conv<pads=[1,1,1,1]>(x, w, b) r = Conv<dilations=[2,2], pads=[2,2,2,2]>(x, w) y = Add(l, r)",
    "padded by itself": WEIGHTS + "p = Pad(x, pads) y = Conv<pads=[1,1,1,1]>(p, w, b)",
    "a part": WEIGHTS + "p = Slice(x, starts, ends, axis) y = Conv<pads=[1,1,1,1]>(p, w, b)",
    "linear": LINEAR + "f = Flatten(x) y = Gemm<transB=1>(f, w)",
    "product": "f = Reshape(x, rows) y = MatMul(f, m)",
    "sum": "y = Add(x, s)",
    "pool": "p = MaxPool<kernel_shape=[3,3], pads=[1,1,1,1]>(x) " + WEIGHTS + "y = Conv(p, w, b)",
}


@pytest.mark.parametrize("zero", [0, 114, 128])
@pytest.mark.parametrize("reader", READERS)
def test_pixels_mean_the_same_to_every_reader(reader, zero, graph, evaluate):
    body = PIXEL.format(zero=zero) + READERS[reader]
    image = RNG.integers(0, 256, (2, 6, 6, 3), np.uint8)

    def model():
        return graph("uint8[2,6,6,3] image", "float y", body, **CONSTANTS)

    expected = evaluate(float_reference(model()), image=image)["y"]
    lowered = lower_for_tensorrt(model(), metadata={})
    assert np.allclose(evaluate(lowered, image=image)["y"], expected, rtol=1e-5, atol=1e-3)
    with_float_weights = reader == "product"
    assert [finding.rule for finding in lint_tensorrt(lowered)] == ["both_quantized"] * with_float_weights


def test_a_quantizer_of_pixels_gets_the_numbers(graph, evaluate):
    """As under a profile that quantizes what a layer reads, if the image is padded first."""
    body = PIXEL.format(zero=114) + "p = Pad(x, pads) " + MARK.format(qmin=-128, qmax=127).replace("c,", "p,")
    image = RNG.integers(0, 256, (2, 6, 6, 3), np.uint8)
    lowered = lower_for_tensorrt(graph("uint8[2,6,6,3] image", "float y", body, **CONSTANTS), metadata={})
    numbers = np.pad((image.transpose(0, 3, 1, 2) - 114.0) * 0.5, ((0, 0), (0, 0), (1, 0), (0, 2)))
    expected = 0.5 * np.clip(np.round(numbers / 0.5), -128, 127)
    assert np.array_equal(evaluate(lowered, image=image)["y"], expected)
    assert lint_tensorrt(lowered) == ()


def test_pixels_of_zero_point_128_need_neither_padding_nor_shift(graph, op_types):
    body = PIXEL.format(zero=128) + READERS["convolution"]
    lowered = lower_for_tensorrt(graph("uint8[2,6,6,3] image", "float y", body, **CONSTANTS), metadata={})
    wanted = ["Cast", "Transpose", "DequantizeLinear", "Sub", "QuantizeLinear", "DequantizeLinear", "Conv"]
    assert op_types(lowered) == wanted
    assert array(lowered.graph[-1].inputs[2]).tolist() == [1, 2, 3, 4, 5, 6]


# -- quantizers --------------------------------------------------------------------------------------------

CLAMPS = {
    "none": ("c = Identity(a) ", -np.inf, np.inf),
    "relu": ("c = Relu(a) ", 0, np.inf),
    "relu6": ("c = Clip(a, zero, six) ", 0, 6),
    "both": ("r = Relu(a) c = Clip(r, low, six) ", 0, 6),
}
ENDS = {"zero": np.float32(0), "six": np.float32(6), "low": np.float32(-1)}


@settings(max_examples=60, deadline=None)
@given(
    clamp=st.sampled_from(sorted(CLAMPS)),
    grid=st.sampled_from([(-128, 127), (0, 127), (0, 15), (-8, 7), (0, 1), (-2, 1)]),
    scale=st.floats(2**-10, 8, width=32),
    numbers=st.lists(st.floats(-40, 40, width=32), min_size=1, max_size=40),
)
def test_every_grid_clips_as_in_training(graph_of_text, clamp, grid, scale, numbers):
    text, low, high = CLAMPS[clamp]
    qmin, qmax = grid
    a, s = np.float32(numbers), np.float32(scale)
    expected = np.clip(np.round(np.clip(a, np.float32(low), np.float32(high)) / s), qmin, qmax) * s
    body = text + MARK.format(qmin=qmin, qmax=qmax)
    lowered = lower_for_tensorrt(graph_of_text("float[n] a", "float[n] y", body, **ENDS, s=s), metadata={})
    session = open_session(ir.to_proto(lowered).SerializeToString(), optimize=False)
    assert np.array_equal(run_all(session, {"a": a})["y"], expected)


@pytest.fixture(scope="module")
def graph_of_text(onnx_model):
    """Return the function that the fixture ``graph`` returns, for a property."""
    return lambda inputs, outputs, body, **constants: ir.from_proto(
        onnx_model(inputs, outputs, body, constants, domain="edgekd")
    )


@pytest.mark.parametrize(
    ("text", "grid", "clamps"),
    [
        ("c = Relu(a) ", (0, 127), ["Relu"]),
        ("c = Clip(a, zero, six) ", (0, 127), ["Relu"]),  # the grid ends at 1.27
        ("c = Relu(a) ", (0, 15), ["Clip"]),
        ("c = Identity(a) ", (0, 127), ["Relu"]),
        ("c = Sigmoid(a) ", (0, 127), ["Sigmoid"]),
        ("r = Relu(a) c = MaxPool<kernel_shape=[1,1]>(r) ", (0, 127), ["Relu", "MaxPool"]),
        ("c = Identity(a) ", (-128, 127), []),
        ("c = Identity(a) ", (-8, 7), ["Clip"]),
        ("c = Relu(a) d = Neg(c) ", (0, 15), ["Relu", "Clip"]),  # another reader keeps the ReLU
    ],
)
def test_one_clamp_at_most_stands_in_front_of_a_quantizer(text, grid, clamps, graph, op_types):
    constants = {**ENDS, "s": np.float32(0.01)}
    body = text + MARK.format(qmin=grid[0], qmax=grid[1])
    outputs = "float[1,1,4,4] y, float[1,1,4,4] d" if "d =" in text else "float[1,1,4,4] y"
    lowered = lower_for_tensorrt(graph("float[1,1,4,4] a", outputs, body, **constants), metadata={})
    rest = ("QuantizeLinear", "DequantizeLinear", "Identity", "Neg")
    assert [kind for kind in op_types(lowered) if kind not in rest] == clamps


def test_two_quantizers_in_sequence_stay_two(graph, evaluate, op_types):
    body = MARK.format(qmin=-128, qmax=127).replace("(c", "(a").replace("y =", "b =") + (
        ' y = edgekd.FakeQuant<qmin=-128, qmax=127, axis=-1, mark="n">(b, s2)'
    )
    constants = {"s": np.float32(0.03), "s2": np.float32(0.05)}
    a = np.linspace(-5, 5, 1001, dtype=np.float32)
    lowered = lower_for_tensorrt(graph("float[n] a", "float[n] y", body, **constants), metadata={})
    assert op_types(lowered) == ["QuantizeLinear", "DequantizeLinear"] * 2
    once = np.clip(np.round(a / np.float32(0.03)), -128, 127) * np.float32(0.03)
    expected = np.clip(np.round(once / np.float32(0.05)), -128, 127) * np.float32(0.05)
    assert np.array_equal(evaluate(lowered, a=a)["y"], expected)


def test_weight_scales_are_positive_whatever_batch_norm_says(graph, evaluate):
    """A code-book whose codes would need more bytes with another sign keeps them: the scale turns."""
    codes = np.float32([-99, 3, 50, 127] * 8).reshape(2, 4, 2, 2)
    body = (
        WEIGHTS
        + MARK.format(qmin=-128, qmax=127).replace("(c", "(a").replace("y =", "x =")
        + " c = Conv(x, w) y = BatchNormalization(c, gain, beta, beta, one)"
    )
    constants = {
        "w0": codes,
        "ws": np.float32([1, 1]),
        "s": np.float32(0.1),
        "gain": np.float32([-0.5, 0]),
        "beta": np.float32([0.5, 2]),
        "one": np.float32([1, 1]),
    }
    a = np.random.default_rng(1).normal(0, 3, (2, 4, 5, 5)).astype(np.float32)

    def model():
        return graph("float[2,4,5,5] a", "float[2,2,4,4] y", body, **constants)

    lowered = lower_for_tensorrt(model(), metadata={})
    (weights,) = (node for node in lowered.graph if node.name == "conv.w.dequantize")
    stored, scale = array(weights.inputs[0]), array(weights.inputs[1])
    assert scale.tolist() == [pytest.approx(0.5, rel=1e-4), 1]
    assert stored[0].ravel().tolist() == [99, -3, -50, -127] * 4
    assert not stored[1].any()
    x = np.clip(np.round(a / np.float32(0.1)), -128, 127) * np.float32(0.1)
    windows = np.lib.stride_tricks.sliding_window_view(x, (2, 2), axis=(2, 3))
    first = np.einsum("ncijkl,ckl->nij", windows, codes[0])
    expected = np.stack([-0.5 * (first - 0.5) / np.sqrt(1 + 1e-5) + 0.5, np.full_like(first, 2)], 1)
    assert np.allclose(evaluate(lowered, a=a)["y"], expected, rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize(
    ("body", "what", "where"),
    [
        (MARK.format(qmin=0, qmax=255), "codes 0..255 do not fit int8 .* \\[relu_range\\]", "quantizer m"),
        (MARK.format(qmin=-128, qmax=200), "codes -128..200 do not fit .* \\[int8_codes\\]", "quantizer m"),
        (MARK.format(qmin=-8, qmax=7).replace("c, s", "c, t"), "\\[positive_scale\\]", "quantizer m"),
        (MARK.format(qmin=-8, qmax=7).replace("c, s", "c, zero"), "\\[positive_scale\\]", "quantizer m"),
        ("y = edgekd.Mystery(c)", "marks left after lowering: Mystery", ""),
    ],
    ids=["relu of profile ort", "too many codes", "computed scale", "scale 0", "unknown mark"],
)
def test_what_the_dialect_cannot_express_is_refused(body, what, where, graph):
    model = graph("float[4] a", "float[4] y", f"c = Relu(a) t = Mul(s, s) {body}", s=np.float32(0.1), **ENDS)
    with pytest.raises(LowerError, match=what) as error:
        lower_for_tensorrt(model, metadata={})
    assert error.value.where == where
    assert bool(error.value.fix) == bool(where)


@pytest.mark.parametrize(
    "reader",
    [
        "t = Transpose<perm=[0,1,3,2]>(x) y = MatMul(x, t)",
        "w = Add(w0, w0) y = Conv(x, w)",
        WEIGHTS + "c = Add(b, b) y = Conv(x, w, c)",
    ],
    ids=["two inputs", "computed weights", "computed bias"],
)
def test_pixels_that_meet_no_constant_weights_are_refused(reader, graph):
    body = PIXEL.format(zero=114) + reader
    with pytest.raises(LowerError, match="no constants \\[pixel_shift\\]") as error:
        lower_for_tensorrt(graph("uint8[2,6,6,3] image", "float y", body, **CONSTANTS), metadata={})
    assert "zero point 128" in error.value.fix


@pytest.mark.parametrize(
    ("body", "what"),
    [
        ("y = Identity(x)", "output of the network"),
        (WEIGHTS + 'y = Conv<auto_pad="SAME_UPPER">(x, w)', "auto_pad"),
        ("", "output of the network"),
    ],
)
def test_pixels_need_explicit_padding_and_are_no_output(body, what, graph):
    name = "y" if body else "x"
    model = graph("uint8[2,6,6,3] image", f"float {name}", PIXEL.format(zero=114) + body, **CONSTANTS)
    with pytest.raises(LowerError, match=what):
        lower_for_tensorrt(model, metadata={})


# -- float16 -----------------------------------------------------------------------------------------------


def test_scales_that_float16_cannot_hold_are_held_by_coarser_codes(graph):
    """2**-26 is no float16, and 1.5 * 2**-24 lies between two; 0.02 is rounded as it is."""
    body = (
        WEIGHTS
        + MARK.format(qmin=-128, qmax=127).replace("(c", "(a").replace("y =", "x =")
        + " y = Conv(x, w)"
    )
    scale = np.float32([2.0**-26, 1.5 * 2.0**-24, 0.02])
    weights = (np.float32([100, 100, 100]) * scale).reshape(3, 1, 1, 1)
    constants = {"w0": weights, "ws": scale, "s": np.float32(0.1)}
    model = graph("float[1,1,2,2] a", "float[1,3,2,2] y", body, **constants)
    lowered = lower_for_tensorrt(model, metadata={}, float_parts="fp16")
    (node,) = (node for node in lowered.graph if node.name == "conv.w.dequantize")
    assert array(node.inputs[0]).ravel().tolist() == [25, 75, 100]
    assert array(node.inputs[1]).tolist() == [2.0**-24, 2.0**-23, np.float16(0.02)]


@pytest.mark.parametrize(("number", "would"), [(1e-9, "0"), (1e9, "inf")])
def test_other_scales_that_float16_cannot_hold_are_refused(number, would, graph):
    body = MARK.format(qmin=-128, qmax=127).replace("(c", "(a")
    model = graph("float[4] a", "float[4] y", body, s=np.float32(number))
    with pytest.raises(LowerError, match=f"it would become {would}") as error:
        lower_for_tensorrt(model, metadata={}, float_parts="fp16")
    assert error.value.where == "m.s"
    assert error.value.fix == "keep the float parts in fp32"


def test_float_inputs_of_a_float16_graph_are_cast(graph, evaluate, op_types):
    body = MARK.format(qmin=-128, qmax=127).replace("(c", "(a")
    model = graph("float[4] a", "float[4] y", body, s=np.float32(0.5))
    lowered = lower_for_tensorrt(model, metadata={}, float_parts="fp16")
    assert op_types(lowered) == ["Cast", "QuantizeLinear", "DequantizeLinear", "Cast"]
    assert evaluate(lowered, a=np.float32([0.3, -70, 1, 99]))["y"].tolist() == [0.5, -64, 1, 63.5]
