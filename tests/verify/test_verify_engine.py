from contextlib import nullcontext
from dataclasses import replace
from functools import partial

import numpy as np
import onnx
import pytest

from edgekd.board.rounds import Design
from edgekd.data.dataset import Split
from edgekd.device.latency import Measurement, measure_here
from edgekd.device.local import LocalConnection
from edgekd.errors import LowerError
from edgekd.runtimes.onnx_runtime_target import OnnxRuntimeTarget
from edgekd.runtimes.target import BuiltModel
from edgekd.tasks.classification import ClassificationSpec
from edgekd.tasks.metric import Metric
from edgekd.verify.oracle import OracleResult
from edgekd.verify.paired import compare_paired
from edgekd.verify.verify_engine import float_weight_bytes, verify_engine, verify_graph


class HastyDevice(LocalConnection):
    """Times a few inferences only: what is timed matters here, not how well."""

    def measure(self, models, feeds, *, seed, design=None):
        engines = {
            name: partial(nullcontext, partial(model.open().run, feeds[name]))
            for name, model in models.items()
        }
        hasty = Design(sessions=2, rounds=1, round_ms=1, warmup_ms=1)
        return Measurement(measure_here(engines, design=hasty, seed=seed))


class SilentTarget(OnnxRuntimeTarget):
    """A runtime that does not show the graph that it runs."""

    def look_inside(self, engine, feeds, **given):
        return replace(super().look_inside(engine, feeds, **given), optimized=None)


def built(path):
    return BuiltModel(OnnxRuntimeTarget(), path)


def fixed(model, batch):
    """Return the model with its first dimension fixed."""
    for value in (*model.graph.input, *model.graph.output):
        value.type.tensor_type.shape.dim[0].dim_value = batch
    return model


@pytest.mark.parametrize("batch", [1, 3, 16])
def test_verify_graph_fits_the_probes_to_a_fixed_batch(residual, tmp_path, batch):
    onnx.save(fixed(residual.lowered, batch), tmp_path / "fixed.onnx")
    found = verify_graph(built(tmp_path / "fixed.onnx"), residual.inputs, marked=residual.marked)
    assert found.coverage.fallbacks == ()
    assert found.oracle.mismatches == 0
    assert {layer.name: layer.values for layer in found.layers}["logits"] == 5 * batch
    assert [layer for layer in found.layers if layer.off_by_more] == []


def test_verify_graph_refuses_an_engine_of_another_network(residual, onnx_model, tmp_path):
    body = "f = Cast<to=1>(image) y = ReduceMean<keepdims=0>(f, axes)"
    other = onnx_model("uint8[N,10,10,3] image", "float[N,3] y", body, {"axes": np.int64([1, 2])})
    onnx.save(other, tmp_path / "other.onnx")
    with pytest.raises(LowerError, match="tensors not found in the engine: stem, left, add"):
        verify_graph(built(tmp_path / "other.onnx"), residual.inputs, marked=residual.marked)


def test_verify_graph_checks_the_layers_where_a_runtime_does_not_show_its_graph(residual):
    found = verify_graph(BuiltModel(SilentTarget(), residual.model), residual.inputs, marked=residual.marked)
    assert found.oracle == OracleResult()
    assert found.coverage == residual.faithfulness.coverage
    assert found.layers == residual.faithfulness.layers


def test_float_weight_bytes_counts_float_constants(onnx_model, tmp_path):
    constants = {"w": np.ones((3, 5), np.float32), "codes": np.ones((3, 5), np.int8)}
    model = onnx_model(
        "float[3,5] x", "float y", "c = Cast<to=1>(codes) a = Add(x, w) y = Add(a, c)", constants
    )
    onnx.save(model, tmp_path / "m.onnx")
    assert float_weight_bytes(built(tmp_path / "m.onnx")) == 60


def test_verify_engine_measures_everything(residual):
    engine = built(residual.model)
    logits = engine.open().predict(residual.inputs)
    student = logits.copy()
    student[0] = -student[0]  # the student says something else about the first image
    labels = logits.argmax(1)
    labels[-2:] = (labels[-2:] + 1) % 5
    right = np.arange(8) < 6
    verdict = verify_engine(
        engine,
        marked=residual.marked,
        probes=residual.inputs,
        student_logits=student,
        baselines={"student_float": engine, "ptq": engine},
        test=Split(residual.inputs, labels),
        task=ClassificationSpec(),
        device=HastyDevice(),
        seed=0,
    )
    assert verdict.metric == verdict.ptq_metric
    assert (verdict.metric.name, verdict.metric.value, verdict.metric.n) == ("top1", 6 / 8, 8)
    assert verdict.agreement_top1 == 7 / 8
    assert verdict.against == {"student_float": compare_paired(right, right)}
    assert verdict.faithfulness == residual.faithfulness
    assert len(verdict.faithfulness.coverage.nodes) == len(residual.optimized.graph.node)
    assert set(verdict.latency.samples) == set(verdict.size_bytes) == {"engine", "student_float", "ptq"}
    assert verdict.size_bytes["engine"] == residual.model.stat().st_size


class NothingIsRight(ClassificationSpec):
    """A task that knows no right answer."""

    def correct(self, outputs, labels):
        return None

    def score(self, outputs, labels):
        return Metric(name="none", value=0, ci95=(0, 0), n=len(labels))


def test_verify_engine_compares_no_answers_where_none_is_right(residual):
    engine = built(residual.model)
    verdict = verify_engine(
        engine,
        marked=residual.marked,
        probes=residual.inputs,
        student_logits=engine.open().predict(residual.inputs),
        baselines={"student_float": engine},
        test=Split(residual.inputs, np.zeros(8, np.int64)),
        task=NothingIsRight(),
        device=HastyDevice(),
        seed=0,
    )
    assert verdict.against == {}
