"""``edgekd report``, within this process."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from edgekd.cli.verbs import app
from edgekd.errors import StoreError
from edgekd.report.schema import Report


@pytest.fixture
def runs(report: Report, tmp_path: Path) -> list[str]:
    for name in ("first", "second"):
        (tmp_path / name).mkdir()
        report.save(tmp_path / name / "report.json")
    return [str(tmp_path / "first"), str(tmp_path / "second")]


def _run(*words: str) -> str:
    done = CliRunner().invoke(app, ["report", *words], catch_exceptions=False)
    assert done.exit_code == 0
    return done.stdout


def test_report_of_one_run_writes_its_page_anew_and_prints_its_summary(runs: list[str]):
    printed = _run(runs[0])
    page = Path(runs[0]) / "report.html"
    assert printed.startswith("digits_int8 on onnxruntime, local\n")
    assert printed.endswith(f"Report: {page}\n")
    assert "second, Integer engine" in page.read_text()


def test_report_of_one_run_as_json_is_its_report(runs: list[str], report: Report):
    assert Report.model_validate_json(_run(runs[0], "--json")) == report


def test_report_of_several_runs_compares_them(runs: list[str], tmp_path: Path):
    page = tmp_path / "new" / "comparison.html"
    printed = _run(*runs, "--html", str(page))
    lines = [line.split() for line in printed.splitlines()]
    assert ["first", "passed", "98.9", "%", "97.2-99.6"] in [line[:5] for line in lines]
    assert "A: AMD EPYC 9B45, 2 cores" in printed
    assert "Comparison of 2 engines" in page.read_text()
    assert not (Path(runs[0]) / "report.html").exists()


def test_report_of_several_runs_as_json(runs: list[str]):
    first, second = json.loads(_run(*runs, "--json"))
    assert (first["run"], second["run"], first["machine"]) == ("first", "second", "AMD EPYC 9B45, 2 cores")


def test_report_says_which_run_has_no_report(runs: list[str], tmp_path: Path):
    with pytest.raises(StoreError, match="cannot read the report") as error:
        _run(runs[0], str(tmp_path / "nothing"))
    assert error.value.where.endswith("nothing")
