from pathlib import Path

import pytest

from edgekd.errors import StoreError
from edgekd.report.publish import record_gates
from edgekd.report.schema import Report


def test_record_gates_writes_them_into_report_and_page(report: Report, tmp_path: Path) -> None:
    report.model_copy(update={"gates": ()}).save(tmp_path / "report.json")
    record_gates(tmp_path, report.gates)
    assert Report.load(tmp_path / "report.json") == report
    assert "all 4 gates passed" in (tmp_path / "report.html").read_text()
    (tmp_path / "report.json").unlink()
    with pytest.raises(StoreError):
        record_gates(tmp_path, report.gates)
