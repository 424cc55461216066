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


def test_codes_off_by_one_are_counted_apart(residual):
    feeds = {"image": residual.inputs}
    codes = OnnxRuntimeTarget().look_inside(residual.model, feeds, marked=residual.marked).codes
    clean = {layer.name: layer for layer in compare_layers(residual.marked, codes, feeds, {})}
    nudged = codes["reducemean"].copy()
    nudged[0, 0] += 1
    nudged[0, 1] += 2
    found = {
        layer.name: layer
        for layer in compare_layers(residual.marked, {**codes, "reducemean": nudged}, feeds, {})
    }
    assert found["reducemean"].off_by_more == 1
    assert found["reducemean"].off_by_one - clean["reducemean"].off_by_one in (0, 1)
    assert {name: found[name] for name in ("stem", "left", "add")} == {
        name: clean[name] for name in ("stem", "left", "add")
    }


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
