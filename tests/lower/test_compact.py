import numpy as np
import pytest

from edgekd.lower.compact import DropDefaultAttributesPass, NameOperatorsPass, ShortNamesPass

CONSTANTS = {
    "stem.weight": np.ones((4, 4, 3, 3), np.int8),
    "stem.weight.scale": np.float32([1, 2, 3, 4]),
    "stem.weight.bias": np.int32([1, 2, 3, 4]),
    "stem.weight.bias_2": np.int32([5, 6, 7, 8]),
    "stem.weight.bias.scale": np.float32([1, 2, 3, 4]),
    "s": np.float32(0.1),
    "z": np.uint8(128),
    "rows": np.int64([0, -1]),
}
LAYER = (
    'w{n} = DequantizeLinear<axis=0>("stem.weight", "stem.weight.scale") '
    'b{n} = DequantizeLinear<axis=0>("stem.weight.{bias}", "stem.weight.bias.scale") '
    "c{n} = Conv<pads=[1,1,1,1]>({x}, w{n}, b{n}) "
    '"mark{n}.q" = QuantizeLinear(c{n}, s, z) {y} = DequantizeLinear("mark{n}.q", s, z) '
)


@pytest.fixture
def layers(graph):
    """Return a function that builds a model in which one layer is used twice."""
    first = LAYER.format(n=1, x="x", y="m", bias="bias")
    second = LAYER.format(n=2, x="m", y="y", bias="bias_2")
    return lambda: graph("float[1,4,5,5] x", "float y", first + second, **CONSTANTS)


def test_a_layer_names_its_constants(layers):
    model = layers()
    NameOperatorsPass()(model)
    first, second = (node for node in model.graph if node.op_type == "Conv")
    assert (first.name, second.name) == ("stem", "stem_2")
    names = [
        [value.name for value in node.inputs[i].producer().inputs] for node in (first, second) for i in (1, 2)
    ]
    assert names == [
        ["stem.w", "stem.ws"],
        ["stem.b", "stem.bs"],
        ["stem.w", "stem.ws"],
        ["stem_2.b", "stem.bs"],
    ]


def test_names_of_codes_survive_and_the_rest_is_numbered(layers):
    model = layers()
    ShortNamesPass()(model)
    names = [value.name for node in model.graph for value in node.outputs]
    assert len(set(names)) == len(names)
    assert [name for name in names if not name.isdecimal()] == ["mark1.q", "mark2.q", "y"]


def test_short_names_number_every_output(graph):
    split = "Split<axis=1, num_outputs=2>"
    body = f"a, b = {split}(x) c, d = {split}(a) y = Concat<axis=1>(b, c, d)"
    model = graph("float[1,8] x", "float[1,8] y", body)
    ShortNamesPass()(model)
    assert [[value.name for value in node.outputs] for node in model.graph] == [["0", "1"], ["2", "3"], ["y"]]


def test_compact_changes_no_number(layers, evaluate):
    x = np.random.default_rng(0).normal(0, 1, (1, 4, 5, 5)).astype(np.float32)
    before = evaluate(layers(), x=x)["y"]
    model = layers()
    for compact in (DropDefaultAttributesPass, NameOperatorsPass, ShortNamesPass):
        compact()(model)
    assert np.array_equal(evaluate(model, x=x)["y"], before)


def test_default_attributes_are_dropped(graph):
    body = (
        'c = Conv<auto_pad="NOTSET", dilations=[1,1], group=1, kernel_shape=[3,3], pads=[0,0,0,0], '
        "strides=[1,1]>(x, w) p = MaxPool<kernel_shape=[2,2], ceil_mode=0, storage_order=0>(c) "
        "q = QuantizeLinear<axis=1, saturate=1>(p, s, z) y = DequantizeLinear<axis=1>(q, s, z)"
    )
    model = graph("float[1,4,9,9] x", "float y", body, w=np.ones((4, 4, 3, 3), np.float32), **CONSTANTS)
    assert DropDefaultAttributesPass()(model).modified
    assert [sorted(node.attributes) for node in model.graph] == [[], ["kernel_shape"], [], []]


def test_attributes_that_say_something_stay(graph):
    body = (
        "c = Conv<dilations=[2,1], group=2, pads=[0,0,1,1], strides=[2,2]>(x, w) "
        "d = DequantizeLinear<axis=0>(codes, scale) y = Gemm<transB=1, alpha=0.5>(x2, d)"
    )
    constants = {
        "w": np.ones((4, 2, 3, 3), np.float32),
        "codes": np.ones((2, 2), np.int8),
        "scale": np.float32([1, 2]),
    }
    model = graph("float[1,4,9,9] x, float[2,2] x2", "float y, float c", body, **constants)
    assert not DropDefaultAttributesPass()(model).modified
