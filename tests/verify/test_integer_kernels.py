"""The oracle's kernels: against numbers computed by hand, and against ONNX Runtime on random data."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgekd.runtimes.onnx_runtime import open_session, run_all
from edgekd.verify.integer_kernels import (
    EXACT_KERNELS,
    _logistic,
    qgemm,
    qlinear_add,
    qlinear_add_on_arm,
    qlinear_conv,
    qlinear_global_average_pool,
    qlinear_matmul,
    qlinear_mul,
    qlinear_softmax,
    qlinear_softmax_before_1_32,
)
from edgekd.verify.oracle import _expected

F, U, S = np.float32, np.uint8, np.int8


def test_conv_by_hand():
    """Codes minus 128: 2 -3; weights 5 1; bias 4: 2 * 5 + -3 * 1 + 4 = 11.

    Times 0.5 * 0.25 / 0.5 = 0.25 is 2.75 -> 3, plus zero point 10 is 13.
    """
    x, w = U([130, 125]).reshape(1, 2, 1, 1), S([5, 1]).reshape(1, 2, 1, 1)
    y = qlinear_conv([x, F(0.5), U(128), w, F([0.25]), S([0]), F(0.5), U(10), np.int32([4])], {})
    assert y.dtype == np.uint8
    assert y.ravel().tolist() == [13]


@pytest.mark.parametrize(
    ("accumulator", "code"), [(2, 0), (6, 2), (10, 2), (-2, 0), (2000, 127), (-2000, -128)]
)
def test_conv_rounds_half_to_even_and_clamps(accumulator, code):
    """A multiplier of 1/4: 0.5 -> 0, 1.5 -> 2, 2.5 -> 2, -0.5 -> 0."""
    x, w = U([1]).reshape(1, 1, 1, 1), S([0]).reshape(1, 1, 1, 1)
    y = qlinear_conv([x, F(0.25), U(0), w, F([1]), S([0]), F(1), S(0), np.int32([accumulator])], {})
    assert y.item() == code


def test_conv_pads_with_the_zero_point():
    """A 3x3 sum over one pixel of code 128 + 7 with padding 1: 7 in every place, never 128."""
    x, w = U([135]).reshape(1, 1, 1, 1), np.ones((1, 1, 3, 3), S)
    y = qlinear_conv([x, F(1), U(128), w, F([1]), S([0]), F(1), S(0)], {"pads": [1, 1, 1, 1]})
    assert y.ravel().tolist() == [7]


def test_conv_scales_each_channel_of_each_group_by_its_own():
    """Two groups of one channel: 3 * 2 * 1 = 6 and 5 * 2 * 0.5 = 5."""
    x, w = U([3, 5]).reshape(1, 2, 1, 1), S([2, 2]).reshape(2, 1, 1, 1)
    inputs = [x, F(1), U(0), w, F([1, 0.5]), S([0, 0]), F(1), U(0)]
    assert qlinear_conv(inputs, {"group": 2}).ravel().tolist() == [6, 5]


def test_conv_reads_channels_last():
    x = np.arange(24, dtype=U).reshape(1, 3, 4, 2)
    w = np.random.default_rng(0).integers(-5, 5, (2, 2, 3, 3), S)
    rest = [F(1), U(3), w, F([1, 0.5]), S([0]), F(1), S(0)]
    first = qlinear_conv([np.moveaxis(x, -1, 1), *rest], {})
    last = qlinear_conv([x, *rest], {"channels_last": 1})
    assert np.array_equal(np.moveaxis(first, 1, -1), last)


def test_gemm_by_hand():
    """(3 - 1) * 4 + (5 - 1) * -1 + 2 = 6; as float 6 * 0.5 * 0.25 = 0.75; as a code 0.75 / 0.5 = 1.5 -> 2."""
    a, b, bias = U([[3, 5]]), S([[4, -1]]), np.int32([2])
    head = [a, F(0.5), U(1), b, F([0.25]), S([0]), bias]
    assert qgemm([*head], {"transB": 1}).tolist() == [[0.75]]
    assert qgemm([*head, F(0.5), U(0)], {"transB": 1}).tolist() == [[2]]
    assert qgemm([*head], {"transB": 1, "alpha": 2.0}).tolist() == [[1.5]]


def test_matmul_by_hand():
    """(10 - 8) * 3 + (5 - 8) * 7 = -15; times 0.5 * 2 / 4 = 0.25: -3.75 -> -4, plus 128."""
    inputs = [U([[10, 5]]), F(0.5), U(8), S([[3], [7]]), F(2), S(0), F(4), U(128)]
    assert qlinear_matmul(inputs, {}).tolist() == [[124]]


def test_add_by_hand():
    """(130 - 128) * 0.5 + 6 * 0.25 = 2.5 -> 2, half to even; (131 - 128) * 0.5 + 8 * 0.25 = 3.5 -> 4."""
    inputs = [U([130, 131]), F(0.5), U(128), U([6, 8]), F(0.25), U(0), F(1), U(0)]
    assert qlinear_add(inputs, {}).tolist() == [2, 4]


def test_add_on_arm_by_hand():
    """As above, and (125 - 128) * 0.5 - 1 * 1 = -2.5, plus 9; halves away from zero: 3, 4 and 9 - 3."""
    inputs = [U([130, 131]), F(0.5), U(128), U([6, 8]), F(0.25), U(0), F(1), U(0)]
    assert qlinear_add_on_arm(inputs, {}).tolist() == [3, 4]
    inputs = [U([125]), F(0.5), U(128), U([127]), F(1), U(128), F(1), U(9)]
    assert qlinear_add_on_arm(inputs, {}).tolist() == [6]
    huge = [U([1]), F(1), U(0), U([1]), F(1), U(0), F(2**-9), U(0)]
    assert qlinear_add_on_arm(huge, {}).tolist() == qlinear_add(huge, {}).tolist() == [255]


def test_mul_by_hand():
    """-2 * 3 * (0.5 * 0.5) / 0.5 = -3, plus 128."""
    inputs = [U([126]), F(0.5), U(128), U([3]), F(0.5), U(0), F(0.5), U(128)]
    assert qlinear_mul(inputs, {}).tolist() == [125]


def test_global_average_pool_by_hand():
    """Codes minus 1: 0 1 2 7, mean 2.5, / 0.5 * 0.5 = 2.5 -> 2."""
    x = U([1, 2, 3, 8]).reshape(1, 1, 2, 2)
    assert qlinear_global_average_pool([x, F(0.5), U(1), F(0.5), U(0)], {}).tolist() == [[[[2]]]]
    last = {"channels_last": 1}
    assert qlinear_global_average_pool([x.reshape(1, 2, 2, 1), F(0.5), U(1), F(0.5), U(0)], last).shape == (
        1,
        1,
        1,
        1,
    )


# Against ONNX Runtime. Sessions are optimized: that is where a CPU without VNNI is told not to saturate.


@pytest.fixture(scope="module")
def differs(onnx_model):
    """Return a function that runs one operator on ONNX Runtime and in exact arithmetic, and compares."""

    def run(op_type, x, rest, attributes=None, *, domain="com.microsoft", x_type="uint8"):
        attributes = attributes or {}
        names = [f"i{index}" for index in range(len(rest))]
        listed = ", ".join(f"{key}={_text(value)}" for key, value in attributes.items())
        prefix = f"{domain}." if domain else ""
        read = ", ".join(
            ("x", *(name if value is not None else '""' for name, value in zip(names, rest, strict=True)))
        )
        body = f"y = {prefix}{op_type}{f'<{listed}>' if listed else ''}({read})"
        shape = ",".join(str(size) for size in x.shape)
        result = (
            "float"
            if op_type == "QGemm" and len(rest) == 6
            else {"uint8": "uint8", "int8": "int8"}[_output(rest)]
        )
        constants = {name: value for name, value in zip(names, rest, strict=True) if value is not None}
        model = onnx_model(f"{x_type}[{shape}] x", f"{result} y", body, constants, domain=domain)
        engine = run_all(open_session(model.SerializeToString()), {"x": x})["y"]
        exact = _expected(op_type, [x, *rest], attributes, engine)
        assert engine.shape == exact.shape
        assert engine.dtype == exact.dtype
        return int((engine != exact).sum())

    return run


def _text(value):
    return "[" + ", ".join(map(str, value)) + "]" if isinstance(value, list) else str(value)


def _output(rest):
    zero = next(value for value in reversed(rest) if value is not None and value.dtype in (U, S))
    return str(zero.dtype)


seeds = st.integers(0, 2**32 - 1)


def codes(rng, shape, kind):
    limits = np.iinfo(kind)
    return rng.integers(limits.min, limits.max, shape, kind, endpoint=True)


def scale(rng, shape=()):
    return F(rng.uniform(0.002, 0.2, shape))


@settings(max_examples=60, deadline=None)
@given(
    seed=seeds,
    rank=st.integers(1, 3),
    group=st.sampled_from([1, 1, 2, 3, 4]),
    depthwise=st.booleans(),
    kinds=st.sampled_from([(U, S), (U, U), (S, S)]),
    per_channel=st.booleans(),
    bias=st.booleans(),
    data=st.data(),
)
def test_conv_equals_onnxruntime(differs, seed, rank, group, depthwise, kinds, per_channel, bias, data):
    rng = np.random.default_rng(seed)
    per_group = 1 if depthwise else int(rng.integers(1, 5))
    out = group * int(rng.integers(1, 4))
    kernel = rng.integers(1, 4, rank).tolist()
    attributes = {
        "group": group,
        "strides": data.draw(st.lists(st.integers(1, 3), min_size=rank, max_size=rank)),
        "dilations": data.draw(st.lists(st.integers(1, 2), min_size=rank, max_size=rank)),
        "pads": data.draw(st.lists(st.integers(0, 2), min_size=2 * rank, max_size=2 * rank)),
    }
    x_kind, w_kind = kinds
    x = codes(rng, (2, group * per_group, *rng.integers(5, 9, rank)), x_kind)
    w = codes(rng, (out, per_group, *kernel), w_kind)
    channels = (out,) if per_channel else ()
    w_zero = np.full(channels, 0 if w_kind is S else 128, w_kind)
    rest = [scale(rng), codes(rng, (), x_kind), w, scale(rng, channels), w_zero, F(2) * scale(rng)]
    rest += [codes(rng, (), x_kind), *([rng.integers(-5000, 5000, out, np.int32)] if bias else [])]
    x_type = str(np.dtype(x_kind))
    assert differs("QLinearConv", x, rest, attributes, domain="", x_type=x_type) == 0


@settings(max_examples=40, deadline=None)
@given(seed=seeds, per_channel=st.booleans(), float_result=st.booleans(), bias=st.booleans())
def test_gemm_equals_onnxruntime(differs, seed, per_channel, float_result, bias):
    rng = np.random.default_rng(seed)
    m, k, n = rng.integers(1, 40, 3)
    channels = (n,) if per_channel else ()
    rest = [scale(rng), codes(rng, (), U), codes(rng, (n, k), S), scale(rng, channels), np.zeros(channels, S)]
    rest += [rng.integers(-5000, 5000, n, np.int32) if bias else None]
    rest += [] if float_result else [F(10) * scale(rng), codes(rng, (), U)]
    assert differs("QGemm", codes(rng, (m, k), U), rest, {"transA": 0, "transB": 1, "alpha": 1.0}) == 0


@settings(max_examples=40, deadline=None)
@given(seed=seeds, per_column=st.booleans(), batch=st.sampled_from([(), (3,)]))
def test_matmul_equals_onnxruntime(differs, seed, per_column, batch):
    rng = np.random.default_rng(seed)
    m, k, n = rng.integers(1, 40, 3)
    columns = (n,) if per_column else ()
    rest = [scale(rng), codes(rng, (), U), codes(rng, (k, n), S), scale(rng, columns), np.zeros(columns, S)]
    rest += [F(10) * scale(rng), codes(rng, (), U)]
    assert differs("QLinearMatMul", codes(rng, (*batch, m, k), U), rest, domain="") == 0


@settings(max_examples=40, deadline=None)
@given(
    seed=seeds,
    op_type=st.sampled_from(["QLinearAdd", "QLinearMul"]),
    kind=st.sampled_from([U, S]),
    data=st.data(),
)
def test_add_and_mul_equal_onnxruntime(differs, seed, op_type, kind, data):
    rng = np.random.default_rng(seed)
    shape = data.draw(st.sampled_from([(2, 8, 5, 7), (2, 8, 1, 1), ()]))
    x, other = codes(rng, (2, 8, 5, 7), kind), codes(rng, shape, kind)
    rest = [
        scale(rng),
        codes(rng, (), kind),
        other,
        scale(rng),
        codes(rng, (), kind),
        scale(rng),
        codes(rng, (), kind),
    ]
    assert differs(op_type, x, rest, x_type=str(np.dtype(kind))) == 0


@settings(max_examples=40, deadline=None)
@given(seed=seeds, channels_last=st.booleans())
def test_global_average_pool_equals_onnxruntime(differs, seed, channels_last):
    rng = np.random.default_rng(seed)
    shape = (2, *rng.integers(1, 12, 3))
    rest = [scale(rng), codes(rng, (), U), scale(rng), codes(rng, (), U)]
    attributes = {"channels_last": int(channels_last)}
    assert differs("QLinearGlobalAveragePool", codes(rng, shape, U), rest, attributes) == 0


EVERY_CODE = np.arange(256, dtype=U)
COLUMN, ROW = EVERY_CODE.reshape(1, 256, 1), EVERY_CODE.reshape(1, 1, 256)
FULL = np.broadcast_to(ROW, (1, 256, 256))


@pytest.mark.parametrize("op_type", ["QLinearAdd", "QLinearMul"])
@pytest.mark.parametrize(
    ("a", "b"),
    [
        pytest.param(np.broadcast_to(COLUMN, FULL.shape), FULL, id="equal shapes"),
        pytest.param(FULL, COLUMN, id="gate on the right"),
        pytest.param(COLUMN, FULL, id="gate on the left"),
        pytest.param(FULL, U(77), id="scalar on the right"),
        pytest.param(U([77]), FULL, id="scalar on the left"),
        pytest.param(ROW, np.broadcast_to(COLUMN, FULL.shape), id="row on the left"),
    ],
)
def test_add_and_mul_round_as_onnxruntime_does_for_every_pair_of_codes(differs, op_type, a, b):
    """Where exactly the kernel rounds to float32 changes one number in a million, and is seen only here."""
    rng = np.random.default_rng(0)
    for _ in range(60):
        rest = [scale(rng), codes(rng, (), U), np.ascontiguousarray(b), scale(rng), codes(rng, (), U)]
        rest += [scale(rng), codes(rng, (), U)]
        assert differs(op_type, np.ascontiguousarray(a), rest) == 0


def test_conv_multiplies_its_scales_in_the_order_of_onnxruntime(differs):
    """Another order changes the multiplier's last bit, and with it a few numbers in a million."""
    rng = np.random.default_rng(0)
    for _ in range(40):
        x, w = codes(rng, (1, 8, 32, 32), U), codes(rng, (32, 8, 1, 1), S)
        rest = [scale(rng), codes(rng, (), U), w, scale(rng, (32,)), np.zeros(32, S), F(5) * scale(rng)]
        assert differs("QLinearConv", x, [*rest, codes(rng, (), U)], domain="") == 0


def test_every_kernel_is_compared_with_onnxruntime():
    compared = {
        "QLinearConv",
        "QGemm",
        "QLinearMatMul",
        "QLinearAdd",
        "QLinearMul",
        "QLinearGlobalAveragePool",
        "QLinearAveragePool",
        "QLinearConcat",
        "QLinearSigmoid",
        "QLinearLeakyRelu",
        "QLinearSoftmax",
    }
    assert set(EXACT_KERNELS) == compared


def test_qlinear_mul_rounds_with_the_zero_point_added(differs):
    """(159 - 128) * 255 = 7905 times the largest multiplier below 39.5 / 7905: 39.499996 + 128 is 167.5.

    In float32, that is; it rounds to 168, the even one; 39.499996 alone would have given 39 + 128 = 167.
    """
    multiplier = np.float32(39.5 / 7905)
    while np.float32(7905) * multiplier >= np.float32(39.5):
        multiplier = np.nextafter(multiplier, F(0))
    x, rest = U([[159] * 64]), [multiplier, U(128), U(255), F(1), U(0), F(1), U(128)]
    assert qlinear_mul([x, *rest], {})[0, 0] == 168
    assert differs("QLinearMul", x, rest) == 0


# Tables and pools


@settings(max_examples=60, deadline=None)
@given(
    seed=seeds, op_type=st.sampled_from(["QLinearSigmoid", "QLinearLeakyRelu"]), kind=st.sampled_from([U, S])
)
def test_tables_equal_onnxruntime(differs, seed, op_type, kind):
    rng = np.random.default_rng(seed)
    every = np.arange(np.iinfo(kind).min, np.iinfo(kind).max + 1).astype(kind)
    rest = [scale(rng), codes(rng, (), kind), F(0.1) * scale(rng), codes(rng, (), kind)]
    attributes = {} if op_type == "QLinearSigmoid" else {"alpha": round(float(rng.uniform(0.001, 0.5)), 4)}
    assert differs(op_type, every, rest, attributes, x_type=str(np.dtype(kind))) == 0


@settings(max_examples=60, deadline=None)
@given(seed=seeds, spread=st.sampled_from([3, 20, 200]), axis=st.sampled_from([-1, 1]), units=st.booleans())
def test_softmax_equals_onnxruntime(differs, seed, spread, axis, units):
    rng = np.random.default_rng(seed)
    x = np.clip(rng.normal(128, spread, (2, int(rng.integers(1, 260)), 5)), 0, 255).astype(U)
    rest = [scale(rng), codes(rng, (), U), F(1 / 256) if units else scale(rng), U(0)]
    assert differs("QLinearSoftmax", np.swapaxes(x, 1, axis), rest, {"opset": 13, "axis": axis}) == 0


def test_softmax_rounds_the_quotient_once_or_as_older_releases_did(differs):
    """256 * 0.8496 is 217.4999966: code 217, but 217.5 in float32, which is the even code 218."""
    x, rest = U([[158, 207, 159]]), [F(0.05), U(128), F(1 / 256), U(0)]
    assert qlinear_softmax([x, *rest], {}).tolist() == [[19, 217, 20]]
    assert qlinear_softmax_before_1_32([x, *rest], {}).tolist() == [[19, 218, 20]]
    assert differs("QLinearSoftmax", x, rest, {"opset": 13, "axis": -1}) == 0


@settings(max_examples=60, deadline=None)
@given(seed=seeds, channels_last=st.booleans(), include=st.booleans(), ceil=st.booleans(), data=st.data())
def test_average_pool_equals_onnxruntime(differs, seed, channels_last, include, ceil, data):
    rng = np.random.default_rng(seed)
    kernel = rng.integers(1, 4, 2).tolist()
    attributes = {
        "kernel_shape": kernel,
        "strides": data.draw(st.lists(st.integers(1, 3), min_size=2, max_size=2)),
        "pads": [data.draw(st.integers(0, size - 1)) for size in kernel * 2],
        "ceil_mode": int(ceil),
        "count_include_pad": int(include),
        "channels_last": int(channels_last),
    }
    x = codes(rng, (2, *rng.integers(4, 9, 3)), U)
    rest = [scale(rng), codes(rng, (), U), scale(rng), codes(rng, (), U)]
    assert differs("QLinearAveragePool", x, rest, attributes) == 0


@settings(max_examples=40, deadline=None)
@given(seed=seeds, same=st.booleans())
def test_concat_equals_onnxruntime(onnx_model, seed, same):
    rng = np.random.default_rng(seed)
    a, b = codes(rng, (2, 256), U), codes(rng, (2, 40), U)
    first = [scale(rng), codes(rng, (), U)]
    constants = dict(zip(("ys", "yz"), first if same else [scale(rng), codes(rng, (), U)], strict=True))
    constants |= {"as": first[0], "az": first[1], "b": b, "bs": scale(rng), "bz": codes(rng, (), U)}
    body = "y = com.microsoft.QLinearConcat<axis=1>(ys, yz, x, as, az, b, bs, bz)"
    model = onnx_model("uint8[2,256] x", "uint8[2,296] y", body, constants, domain="com.microsoft")
    engine = run_all(open_session(model.SerializeToString()), {"x": a})["y"]
    order = [
        constants["ys"],
        constants["yz"],
        a,
        *(constants[name] for name in ("as", "az", "b", "bs", "bz")),
    ]
    assert np.array_equal(EXACT_KERNELS["QLinearConcat"](order, {"axis": 1}), engine)


def test_sigmoid_follows_the_float_kernel_everywhere(onnx_model):
    """A table entry near a tie is decided by the last bit of the float kernel."""
    x = np.linspace(-20, 20, 200_001).astype(F)
    model = onnx_model(f"float[{len(x)}] x", "float y", "y = Sigmoid(x)", {})
    assert np.array_equal(_logistic(x), run_all(open_session(model.SerializeToString()), {"x": x})["y"])


def test_average_pool_by_hand():
    """Codes minus 1: 0 1 2 7; 0.5 of that adds up to 5, / 4 = 1.25, / 0.5 = 2.5 -> 2; without padding."""
    x = U([1, 2, 3, 8]).reshape(1, 1, 2, 2)
    rest = [F(0.5), U(1), F(0.5), U(0)]
    assert EXACT_KERNELS["QLinearAveragePool"]([x, *rest], {"kernel_shape": [2, 2]}).tolist() == [[[[2]]]]
    padded = {"kernel_shape": [2, 2], "pads": [1, 1, 0, 0], "strides": [2, 2]}
    assert EXACT_KERNELS["QLinearAveragePool"]([x, *rest], padded).tolist() == [[[[0]]]]
