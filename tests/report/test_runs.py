import json
from pathlib import Path

import pytest

from edgekd.errors import StoreError
from edgekd.report.comparison import compare
from edgekd.report.frontier import points, size_frontier
from edgekd.report.html import render_html
from edgekd.report.publish import publish, write_page
from edgekd.report.runs import Run, load_runs, measured_on, siblings
from edgekd.report.schema import Report
from edgekd.report.target_schema import TargetReport


def _write(folder: Path, report: Report) -> Path:
    folder.mkdir(parents=True)
    report.save(folder / "report.json")
    return folder


def _on(report: Report, cpu: str) -> Report:
    return report.model_copy(update={"machine": report.machine.model_copy(update={"cpu": cpu})})


@pytest.fixture
def own(report: Report, tmp_path: Path) -> Path:
    """A run among others: one alike, one on other data, a broken one, a foreign one, a stray folder."""
    runs = tmp_path / "runs"
    _write(runs / "alike", report)
    other = report.data.model_copy(update={"test_n": 10_000})
    _write(runs / "other_data", report.model_copy(update={"data": other}))
    (_write(runs / "broken", report) / "report.json").write_text('{"edgekd": "0.1')
    (_write(runs / "foreign", report) / "report.json").write_text('{"name": "a report of something else"}')
    (runs / "stray" / "report.json").mkdir(parents=True)
    return _write(runs / "own", report)


def test_siblings_are_the_runs_on_the_same_data(own: Path, report: Report):
    found = siblings(own, report)
    assert [run.name for run in found.runs] == ["alike"]
    broken, foreign, others = found.notes
    assert broken.startswith("broken is left out: not a report of schema version 1")
    assert foreign.startswith("foreign is left out: not a report of schema version 1: ")
    assert others == "1 more in this folder is about other data"


def test_write_page_shows_the_siblings_and_says_what_is_left_out(own: Path):
    found, page = write_page(own)
    assert page == own / "report.html"
    assert found == Report.load(own / "report.json")
    text = page.read_text()
    assert "alike, Integer engine: 98.9 %" in text
    assert "broken is left out" in text


def test_publish_shows_the_siblings(own: Path, report: Report, tmp_path: Path):
    engine = tmp_path / "engine"
    engine.write_bytes(b"")
    publish(report, engines={"model.onnx": engine}, spec_yaml="", folder=own.parent / "new")
    assert "own, Integer engine" in (own.parent / "new" / "report.html").read_text()


def test_a_run_is_its_folder_or_its_report(own: Path):
    assert Run.load(own) == Run.load(own / "report.json")
    with pytest.raises(StoreError, match="cannot read the report"):
        Run.load(own / "missing")


def test_load_runs_tells_folders_of_one_name_apart(own: Path, report: Report, tmp_path: Path):
    twin = _write(tmp_path / "elsewhere" / "own", report)
    alike = own.parent / "alike"
    assert [run.name for run in load_runs([own, twin, alike])] == [str(own), str(twin), "alike"]


def test_compare_marks_milliseconds_of_other_machines(report: Report):
    found = compare([Run("x86", report), Run("board", _on(report, "Cortex-A76")), Run("again", report)])
    on = found.columns.index("on")
    assert [engine.cells()[on] for engine in found.engines] == ["A", "B", "A"]
    assert found.caveats == (
        "A: AMD EPYC 9B45, 2 cores",
        "B: Cortex-A76, 2 cores",
        "Milliseconds of different machines say nothing about each other.",
    )


def test_compare_shows_no_latency_where_none_was_measured(report: Report):
    untimed = report.targets[0].model_copy(update={"latency_ms": None, "baselines": (), "times_ms": {}})
    found = compare([Run("emulated", report.model_copy(update={"targets": (untimed,)}))])
    row = dict(zip(found.columns, found.engines[0].cells(), strict=True))
    assert (row["p50 ms"], row["on"], row["over own float"], row["top1"]) == ("-", "-", "-", "98.9 %")
    assert found.engines[0].facts()["p50_ms"] is None
    assert found.caveats == ()


def test_compare_says_which_runs_are_about_something_else(report: Report):
    data = report.data.model_copy(update={"kind": "parquet"})
    found = compare([Run("one", report), Run("two", report.model_copy(update={"data": data}))])
    assert found.caveats[-1] == "Other data or another metric than one: two."


def _on_a_board(report: Report, device: str, cpu: str) -> TargetReport:
    board = report.machine.model_copy(update={"cpu": cpu, "cores": 4})
    return report.targets[0].model_copy(update={"device": device, "machine": board})


def test_milliseconds_belong_to_the_board_that_they_were_measured_on(report: Report):
    here, there = report.targets[0], _on_a_board(report, "ssh pi", "Cortex-A76")
    both = report.model_copy(update={"targets": (here, there)})
    assert [measured_on(both, target) for target in both.targets] == [
        "AMD EPYC 9B45, 2 cores",
        "Cortex-A76, 4 cores, device ssh pi",
    ]
    assert [machine.cpu for machine in both.machines] == ["AMD EPYC 9B45", "Cortex-A76"]
    page = render_html(both)
    assert page.count("<h3>Accuracy against latency") == 2
    assert "timed on another machine" not in page


def test_engines_of_one_runtime_on_two_devices_are_told_apart(report: Report):
    both = report.model_copy(
        update={"targets": (report.targets[0], _on_a_board(report, "ssh pi", "Cortex-A76"))}
    )
    run = Run("run", both)
    engines = [engine.run for engine in compare([run]).engines]
    assert engines == ["run, onnxruntime on local", "run, onnxruntime on ssh pi"]
    shown = [point.machine for point in points(run, strong=True) if point.style == "engine"]
    assert shown == [measured_on(both, target) for target in both.targets]
    sizes = size_frontier(points(run, strong=True), width=464.0)
    assert len(sizes.dots) == len({(dot.style, dot.tooltip) for dot in sizes.dots}) == 5


@pytest.mark.parametrize("value", [1e308, 5e-324, "9" * 400])
def test_a_run_beside_it_with_numbers_that_nothing_measures_harms_no_page(own: Path, value: object):
    alike = own.parent / "alike" / "report.json"
    content = json.loads(alike.read_text())
    content["targets"][0]["latency_ms"]["p50"] = value if isinstance(value, float) else 1.0
    if isinstance(value, str):
        content["targets"][0]["size_bytes"] = int(value)
    alike.write_text(json.dumps(content))
    _, page = write_page(own)
    assert ("alike is left out" in page.read_text()) == isinstance(value, str)
