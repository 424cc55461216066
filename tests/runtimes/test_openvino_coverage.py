"""What OpenVINO says of its graph, hand-made: two convolutions, one of them in float."""

import json

import pytest

from edgekd.errors import BuildError
from edgekd.runtimes.openvino_coverage import openvino_coverage, shown_nodes

SHOWN = [
    ("image", "Input", "u8", []),
    ("border", "Convert", "f32", ["image"]),
    ("w", "Const", "i8", []),
    ("w_shaped", "Reshape", "f32", ["w"]),
    ("first", "Convolution", "f32", ["border", "w_shaped"]),
    ("reorder", "Reorder", "f32", ["first"]),
    ("second", "Convolution", "u8", ["reorder", "w"]),
    ("shape", "ShapeOf", "f32", ["second"]),
    ("norm", "MVN", "f32", ["second"]),
    ("last", "Reorder", "f32", ["norm"]),
    ("logits", "Output", "f32", ["last"]),
]
TIMES = {"border": 5.0, "first": 20.0, "reorder": 5.0, "second": 50.0, "norm": 20.0}


def _shown(nodes=SHOWN):
    keys = ("name", "layerType", "runtimePrecision", "reads")
    return json.dumps([dict(zip(keys, node, strict=True)) for node in nodes]).encode()


def test_constants_are_no_nodes():
    names = [node.name for node in shown_nodes(_shown())]
    assert names == ["image", "border", "first", "reorder", "second", "shape", "norm", "last", "logits"]


def test_ends_of_the_graph_are_no_fallbacks_and_closed_operators_are_listed():
    found = openvino_coverage(shown_nodes(_shown()), TIMES)
    assert found.integer_ops == 1
    assert [(item.node, item.op, item.listed) for item in found.fallbacks] == [
        ("first", "Conv", False),
        ("reorder", "Reorder", False),
        ("norm", "LayerNormalization", True),
    ]
    assert "OpenVINO chose f32" in found.fallbacks[0].reason
    assert "[conv]" in found.fallbacks[0].reason


def test_times_are_shares_of_the_whole():
    """first, reorder and norm are 20 + 5 + 20 of 100 microseconds."""
    found = openvino_coverage(shown_nodes(_shown()), TIMES)
    assert found.integer_time_share == pytest.approx(0.55)
    assert [cost.node for cost in found.nodes][:2] == ["second", "first"]
    assert openvino_coverage(shown_nodes(_shown()), {}).integer_time_share is None


@pytest.mark.parametrize("shown", [b"", b"7", b"[1]", b'[{"name": "x"}]'])
def test_what_no_openvino_says_is_refused(shown):
    with pytest.raises(BuildError, match="cannot be read"):
        shown_nodes(shown)


def _fused(kernel, names):
    node = {"name": "n", "layerType": "Subgraph", "runtimePrecision": "u8", "reads": ["x"]}
    shown = [
        {"name": "x", "layerType": "Input", "runtimePrecision": "u8", "reads": []},
        {**node, "primitiveType": kernel, "originalLayersNames": names},
        {"name": "y", "layerType": "Output", "runtimePrecision": "u8", "reads": ["n"]},
    ]
    types = {"g": "Gelu", "q": "QuantizeLinear", "c": "Clip"}
    return openvino_coverage(shown_nodes(json.dumps(shown).encode()), {"n": 1.0}, types)


def test_integers_at_both_ends_of_a_fused_kernel_do_not_make_it_one():
    """OpenVINO gives a fusion the precision of what it reads; its kernel and its operators say the rest."""
    assert _fused("jit_avx512_I8", "c,q").fallbacks == ()
    (gelu,) = _fused("jit_avx512_I8", "Convert_1,g,q").fallbacks
    assert (gelu.op, gelu.listed) == ("Gelu", True)
    assert "in float, between integers" in gelu.reason
    (sums,) = _fused("jit_avx512_f32", "c,q").fallbacks
    assert (sums.op, sums.listed) == ("Subgraph", False)
    assert _fused("jit_avx512_f32", "c,q").integer_time_share == 0.0
