"""One training, several runtimes: two engines run, the third is built, the fourth is told how to get."""

import runpy

import numpy as np
import onnx
import pytest
from PIL import Image

from edgekd.report.verdict import outcome
from edgekd.runtimes.here import HERE

ALL = "targets=[onnxruntime, openvino, tensorrt_rtx, tensorrt]"


@pytest.fixture
def everywhere(again, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return again("quantize.profile=portable", ALL), tmp_path / "runs" / "tiny"


def test_every_runtime_gets_what_it_can(everywhere, monkeypatch, tmp_path, capsys):
    report, folder = everywhere
    ort, openvino, rtx, tensorrt = report.targets
    assert {path.name for path in folder.glob("model.*")} == {
        "model.onnxruntime.onnx", "model.openvino.onnx", "model.tensorrt_rtx.plan", "model.tensorrt_rtx.onnx",
        "model.tensorrt.onnx",
    }  # fmt: skip
    for target in report.targets:
        assert target.coverage.fallbacks == ()
        assert abs(target.metric.value - ort.metric.value) <= 0.01
        assert target.agreement_top1 >= 0.98
    assert [bool(target.latency_ms) for target in report.targets] == [True, True, False, False]
    assert {baseline.name for baseline in openvino.baselines} == {"teacher_float", "student_float", "ptq"}
    assert (ort.fidelity.oracle_mismatches, ort.fidelity.layer_off_by_more) == (0, 0)
    assert openvino.fidelity.layer_tensors + openvino.fidelity.layer_unwatched > 10
    assert (rtx.not_built, "no NVIDIA GPU" in rtx.not_run) == ("", True)
    assert rtx.exact_metric == tensorrt.exact_metric == ort.metric
    assert "pip install 'edgekd[tensorrt]'" in tensorrt.not_built
    assert rtx.fidelity.layer_off_by_more == 0
    assert outcome(report).state == "inconclusive"
    assert onnx.load(folder / tensorrt.model_path).graph.input[0].type.tensor_type.elem_type == 2  # uint8
    Image.fromarray(np.zeros((8, 8), np.uint8)).save(tmp_path / "zero.png")
    monkeypatch.setattr("sys.argv", ["infer.py", str(tmp_path / "zero.png")])
    runpy.run_path(str(folder / "infer.py"), run_name="__main__")
    assert capsys.readouterr().out.strip().isdigit()
    assert HERE.open(folder / "model.openvino.onnx").outputs  # ONNX Runtime reads it too
    page = (folder / "report.html").read_text()
    assert "Not run: there is no NVIDIA GPU" in page
    assert "tensors cannot be watched without changing what the engine computes" in page


def test_a_run_for_tensorrt_alone_has_an_infer_script_that_runs(again, monkeypatch, tmp_path, capsys):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    again("quantize.profile=portable", "targets=[tensorrt_rtx]")
    Image.fromarray(np.zeros((8, 8), np.uint8)).save(tmp_path / "zero.png")
    monkeypatch.setattr("sys.argv", ["infer.py", str(tmp_path / "zero.png")])
    runpy.run_path(str(tmp_path / "runs" / "tiny" / "infer.py"), run_name="__main__")
    assert capsys.readouterr().out.strip().isdigit()
