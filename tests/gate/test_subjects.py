"""What a run's folder and a model file alone can be asked, and when they contradict themselves."""

import shutil
from pathlib import Path

import pytest

from edgekd.errors import EdgeKdError, SpecError, StoreError
from edgekd.gate.gates import Gates, judge
from edgekd.gate.model_subject import Scoring

RATIO = {"kind": "latency", "max_ratio": 1.05}


def test_stored_milliseconds_are_refused_as_a_baseline(run, decide) -> None:
    before = run("before")
    (before / "model.onnxruntime.onnx").unlink()
    with pytest.raises(StoreError, match=r"report.json but not its engine") as caught:
        decide(RATIO, run("now"), baseline=before)
    assert "keep the engine beside the report" in caught.value.fix
    assert "milliseconds stored on another machine" in caught.value.fix
    assert decide({"kind": "size", "max_growth": 0.0}, run("other"), baseline=before).state == "passed"


@pytest.mark.parametrize("changes", [{"size_bytes": 1}, {"model_sha256": "0" * 64}], ids=["size", "digest"])
def test_engine_of_another_run_is_refused(run, decide, changes) -> None:
    with pytest.raises(StoreError, match=r"not the engine that report.json describes"):
        decide(RATIO, run("now"), baseline=run("before", **changes))
    with pytest.raises(StoreError, match="not the engine"):
        decide({"kind": "size", "max_bytes": 10**6}, run("mine", **changes))


def test_report_of_an_earlier_version_has_no_digest(run, decide) -> None:
    assert decide({"kind": "size", "max_bytes": 10**6}, run(model_sha256="")).state == "passed"


def test_model_file_alone_is_verified_now(engine: Path, data) -> None:
    gates = [
        {"kind": "size", "max_bytes": 2000, "max_growth": 0.0},
        {"kind": "download", "max_growth": 0.0},
        {"kind": "accuracy", "min": 0.9, "max_drop": 0.0},
        {"kind": "integer_coverage", "max_float_ops": 0},
        {"kind": "fidelity", "max_oracle_mismatches": 0},
    ]
    results = judge(
        Gates.model_validate({"version": 1, "gates": gates}), engine, baseline=engine, scoring=Scoring(data)
    )
    found = {result.name: (result.state, result.value) for result in results}
    assert found.pop("size.max_bytes") == ("passed", engine.stat().st_size)
    assert found.pop("accuracy.min") == ("passed", 0.9)
    assert found.pop("integer_coverage.max_float_ops")[1] in (0, 1, 2)  # quantizers at both ends
    assert set(found.values()) == {("passed", 0)}
    text = next(result.text for result in results if result.name == "accuracy.min")
    assert "95 % interval 69.9-97.2, 20 test samples" in text


@pytest.mark.parametrize(
    ("gate", "says"),
    [
        ({"kind": "agreement", "min": 0.9}, "agrees with the trained student"),
        ({"kind": "accuracy", "max_drop_from_float": 0.1}, "what accuracy its float student has"),
        ({"kind": "latency", "min_speedup_over_ptq": 1.0}, "how much faster than ptq"),
        ({"kind": "fidelity", "max_layer_off_by_more": 0}, "no layer was compared"),
    ],
    ids=["agreement", "float", "ptq", "layers"],
)
def test_model_file_alone_refuses_what_only_a_run_knows(engine: Path, data, decide, gate, says: str) -> None:
    with pytest.raises(EdgeKdError, match=says) as caught:
        decide(gate, engine, data=data)
    assert "leave" in caught.value.fix


def test_accuracy_of_a_model_file_needs_data(engine: Path, decide) -> None:
    with pytest.raises(SpecError, match="its accuracy: no data were given") as caught:
        decide({"kind": "accuracy", "min": 0.9}, engine)
    assert "--data" in caught.value.fix


def test_data_are_refused_where_nothing_is_scored(run, data, decide) -> None:
    with pytest.raises(SpecError, match="--data is for a model file"):
        decide({"kind": "size", "max_bytes": 1}, run(), data=data)


def test_folder_with_an_engine_alone_is_a_model(run, engine: Path, decide, tmp_path: Path) -> None:
    shutil.copytree(run(), tmp_path / "artifact")
    (tmp_path / "artifact" / "report.json").unlink()
    result = decide({"kind": "size", "max_growth": 0.0}, tmp_path / "artifact", baseline=engine)
    assert (result.state, result.engine) == ("passed", "model.onnxruntime.onnx")
