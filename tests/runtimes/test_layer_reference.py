"""The layers find what is planted in the lowered graph, and where."""

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from edgekd.errors import LowerError
from edgekd.runtimes.layer_reference import OUTPUT_TOLERANCE, compare_layers
from edgekd.runtimes.onnx_runtime_target import OnnxRuntimeTarget


def compared(engine, residual):
    feeds = {"image": residual.inputs}
    inside = OnnxRuntimeTarget().look_inside(engine, feeds, marked=residual.marked)
    layers = compare_layers(residual.marked, inside.codes, feeds, outputs=inside.tensors)
    return {layer.name: layer for layer in layers}


@pytest.fixture
def edited(residual, tmp_path):
    """Return a function that edits one constant of the lowered file and compares the result."""

    def edit(name, change):
        model = residual.lowered
        stored = next(item for item in model.graph.initializer if item.name == name)
        stored.CopyFrom(numpy_helper.from_array(change(numpy_helper.to_array(stored).copy()), name))
        onnx.save(model, tmp_path / "edited.onnx")
        return compared(tmp_path / "edited.onnx", residual)

    return edit


def wrong(layers):
    return {name for name, layer in layers.items() if layer.off_by_more}


def test_the_engine_agrees_with_the_trained_network(residual):
    layers = compared(residual.model, residual)
    assert list(layers) == ["stem", "left", "add", "reducemean", "logits"]
    assert wrong(layers) == set()
    assert {name: layer.values for name, layer in layers.items()} == {
        "stem": 8 * 8 * 100,
        "left": 8 * 8 * 100,
        "add": 8 * 8 * 100,
        "reducemean": 8 * 8,
        "logits": 8 * 5,
    }


@pytest.mark.parametrize("name", ["stem", "left", "add", "reducemean"])
def test_the_scale_of_one_quantizer_is_found(edited, name):
    """The codes are another grid's; what reads them is compared with the trained grid, and differs too."""
    assert name in wrong(edited(f"{name}.s", lambda scale: scale * np.float32(1.2)))


@pytest.mark.parametrize(("layer", "found"), [("stem", "stem"), ("left", "left"), ("linear", "logits")])
def test_a_wrong_weight_is_found_in_its_layer_and_nowhere_else(edited, layer, found):
    def change(codes):
        codes.reshape(-1)[: codes.size // 2] //= 2
        return codes

    assert wrong(edited(f"{layer}.w", change)) == {found}


@pytest.mark.parametrize(("layer", "found"), [("stem", "stem"), ("left", "left"), ("linear", "logits")])
def test_a_wrong_bias_is_found_in_its_layer_and_nowhere_else(edited, layer, found):
    assert wrong(edited(f"{layer}.b", lambda codes: codes + 3000)) == {found}


@pytest.fixture
def snapped(onnx_model, tmp_path):
    """Return a marked graph ``y = 2 * clip(round(x / 2), 0, 255)`` and what its quantizer reads."""
    body = 'y = edgekd.FakeQuant<qmin=0, qmax=255, axis=-1, mark="last">(x, s)'
    model = onnx_model("float[4] x", "float[4] y", body, {"s": np.float32(2)}, domain="edgekd")
    onnx.save(model, tmp_path / "marked.onnx")
    return tmp_path / "marked.onnx", np.float32([0.9, 1.1, 2.4, 600])


@pytest.mark.parametrize(
    ("codes", "off_by_one", "off_by_more"),
    [([0, 1, 1, 255], 0, 0), ([1, 0, 1, 255], 2, 0), ([0, 1, 2, 255], 0, 1), ([0, 1, 1, 254], 0, 1)],
)
def test_a_code_is_off_by_one_only_at_a_tie(snapped, codes, off_by_one, off_by_more):
    """x / 2 = 0.45, 0.55, 1.2, 300: the first two lie 0.05 from a tie, 1.2 does not, 300 is clipped."""
    marked, x = snapped
    (layer,) = compare_layers(marked, {"last": np.int32(codes)}, {"x": x}, outputs={})
    assert (layer.values, layer.off_by_one, layer.off_by_more) == (4, off_by_one, off_by_more)


@pytest.mark.parametrize(("scale", "wrong"), [(2, 0), (2.1, 1)])
def test_an_output_that_is_a_quantizers_result_must_be_its_numbers(snapped, scale, wrong):
    """Codes 0, 1, 1, 255 mean 0, 2, 2, 510; 2.1 per code is 0.1, 0.1 and 25.5 too much, allowed is 2.55."""
    marked, x = snapped
    codes = np.int32([0, 1, 1, 255])
    outputs = {"y": np.float32(scale) * codes}
    *_, layer = compare_layers(marked, {"last": codes}, {"x": x}, outputs)
    assert (layer.name, layer.off_by_more) == ("y", wrong)


def test_float_outputs_have_a_tolerance(residual):
    feeds = {"image": residual.inputs}
    inside = OnnxRuntimeTarget().look_inside(residual.model, feeds, marked=residual.marked)
    logits = inside.tensors["logits"]
    for times, count in ((0.5, 0), (3, logits.size)):
        shifted = logits + np.float32(times * OUTPUT_TOLERANCE * np.abs(logits).max())
        *_, last = compare_layers(residual.marked, inside.codes, feeds, {"logits": shifted})
        assert (last.name, last.off_by_more) == ("logits", count)


def test_a_quantizer_that_the_engine_lost_is_named(residual, tmp_path):
    model = residual.lowered
    for node in model.graph.node:
        for names in (node.input, node.output):
            names[:] = ["lost" if name == "add.q" else name for name in names]
    onnx.save(model, tmp_path / "lost.onnx")
    with pytest.raises(LowerError, match="tensors not found in the engine: add"):
        compared(tmp_path / "lost.onnx", residual)
