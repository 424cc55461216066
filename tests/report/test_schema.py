import json
from pathlib import Path

import pytest
from pydantic import ValidationError

from edgekd.errors import StoreError
from edgekd.report.schema import Report, report_json_schema


def test_report_survives_saving_and_loading(report: Report, tmp_path: Path):
    path = tmp_path / "report.json"
    report.save(path)
    assert Report.load(path) == report
    assert [file.name for file in tmp_path.iterdir()] == ["report.json"]


def test_report_says_in_names_what_the_units_are(report: Report, tmp_path: Path):
    report.save(tmp_path / "report.json")
    written = json.loads((tmp_path / "report.json").read_text())
    assert written["schema_version"] == 1
    assert written["created"] == "2026-11-23T14:05:09Z"
    target = written["targets"][0]
    milliseconds = {"p50", "p90", "p99", "mean", "min", "open_ms"}
    others = {"n", "warmup", "threads", "peak_memory_bytes", "doubts"}
    assert set(target["latency_ms"]) == milliseconds | others
    assert target["baselines"][0]["speedup"].keys() == {"ratio", "ci", "verdict"}
    assert target["fidelity"]["first_mismatch"] is None
    assert 0 <= target["metric"]["value"] <= 1


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"schema_version": 2}, "schema_version: Input should be 1"),
        ({"targets": []}, "targets: Tuple should have at least 1 item"),
        ({"surprise": 1}, "surprise: Extra inputs are not permitted"),
        ({"created": "2026-11-23T14:05:09"}, "created: Input should have timezone info"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_load_names_the_key_when_the_file_is_no_report(
    report: Report, tmp_path: Path, change: dict[str, object], says: str
):
    path = tmp_path / "report.json"
    path.write_text(json.dumps({**report.model_dump(mode="json"), **change}))
    with pytest.raises(StoreError) as raised:
        Report.load(path)
    assert says in raised.value.what
    assert raised.value.where == str(path)


@pytest.mark.parametrize("content", [None, b"", b"{", b"\xff"], ids=str)
def test_load_raises_a_store_error_when_the_file_cannot_be_read(tmp_path: Path, content: bytes | None):
    path = tmp_path / "report.json"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(StoreError):
        Report.load(path)


def test_report_refuses_numbers_that_json_does_not_know(report: Report):
    changed = report.model_dump()
    changed["targets"][0]["agreement_top1"] = float("nan")
    with pytest.raises(ValidationError, match="finite number"):
        Report.model_validate(changed)


def test_report_json_schema_demands_every_measured_key():
    schema = report_json_schema()
    assert {"machine", "targets", "gates", "stages", "student", "teacher"} <= set(schema["required"])
    target = schema["$defs"]["TargetReport"]
    assert {"fidelity", "coverage", "latency_ms", "baselines", "times_ms"} <= set(target["required"])
    assert target["additionalProperties"] is False


@pytest.mark.parametrize("name", ["", "..", "../model.onnx", "/etc/passwd", "a\\b", "a\0b"])
def test_an_engine_lies_beside_its_report_and_nowhere_else(report: Report, tmp_path: Path, name: str):
    content = json.loads(report.text())
    content["targets"][0]["model_path"] = name
    (tmp_path / "report.json").write_text(json.dumps(content))
    with pytest.raises(StoreError, match="is no name of a file beside the report"):
        Report.load(tmp_path / "report.json")
