import numpy as np
import onnx_ir as ir
import pytest

from edgekd.core.optional import missing
from edgekd.errors import SpecError
from edgekd.runtimes.onnx_runtime_target import OnnxRuntimeTarget
from edgekd.runtimes.openvino_target import OpenVinoTarget
from edgekd.runtimes.targets import runnable, target_from_text, target_of_kind
from edgekd.runtimes.tensorrt_target import QdqInFloat, TensorRtRtxTarget, TensorRtTarget


@pytest.fixture
def lowered(residual_portable, tmp_path, monkeypatch):
    """Return a function that lowers a residual network of profile portable for a target."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))

    def of(target):
        path = tmp_path / f"{target.kind}.onnx"
        ir.save(target.lower(ir.load(residual_portable.marked), metadata={}), path)
        return path

    return of


def test_a_target_is_named_by_its_kind_or_a_mapping():
    assert target_from_text("openvino", threads=2) == OpenVinoTarget(threads=2)
    assert target_from_text("{kind: tensorrt, float_parts: fp16}") == TensorRtTarget(float_parts="fp16")
    assert target_from_text("{kind: onnxruntime, threads: 3}", threads=2) == OnnxRuntimeTarget(threads=3)
    assert target_of_kind("tensorrt_rtx") == TensorRtRtxTarget()
    with pytest.raises(SpecError, match="no such target"):
        target_from_text("tflite")


def test_the_file_itself_runs_where_the_runtime_reads_onnx(lowered, tmp_path):
    path = lowered(OpenVinoTarget())
    assert runnable(OpenVinoTarget(), path, tmp_path / "engine").path == path
    assert not (tmp_path / "engine").exists()


def test_without_a_gpu_an_engine_is_built_and_its_file_stands_in(lowered, tmp_path):
    found = runnable(TensorRtRtxTarget(), lowered(TensorRtRtxTarget()), tmp_path / "engine")
    assert (tmp_path / "engine").stat().st_size > 0
    assert isinstance(found.target, QdqInFloat)
    assert "Layers:" in found.target.build_log


def test_without_the_package_the_file_stands_in_and_the_reason_says_how_to_get_it(lowered, tmp_path):
    ready = TensorRtTarget().readiness()
    assert ready.not_built == ready.not_run
    assert "pip install 'edgekd[tensorrt]'" in ready.not_run
    found = runnable(TensorRtTarget(), lowered(TensorRtTarget()), tmp_path / "engine")
    assert found.target == QdqInFloat()
    assert not (tmp_path / "engine").exists()


def test_what_stands_in_shows_every_code_and_computes_what_the_other_dialect_computes(
    lowered, residual_portable, tmp_path
):
    """One student, two dialects: the answers of int8 in float are those of uint8 in integers."""
    images = residual_portable.inputs
    exact, stand_in = (
        OnnxRuntimeTarget(),
        runnable(TensorRtRtxTarget(), lowered(TensorRtRtxTarget()), tmp_path / "engine"),
    )
    with exact.open(lowered(exact)) as one, stand_in.open() as other:
        expected, found = one.predict(images), other.predict(images)
    assert np.abs(found - expected).max() <= 0.02 * np.abs(expected).max()
    inside = stand_in.target.look_inside(stand_in.path, {"image": images}, marked=residual_portable.marked)
    assert inside.coverage.fallbacks == ()
    assert {code.dtype for code in inside.codes.values()} == {np.dtype(np.int32)}


def test_a_missing_package_is_told_with_the_line_that_brings_it():
    error = missing("x", ImportError("no x"), package="x-runtime", extra="x")
    assert error.fix == "pip install 'edgekd[x]'"
