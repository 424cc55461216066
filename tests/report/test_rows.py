from edgekd.report.rows import model_rows
from edgekd.report.schema import Report


def test_model_rows_hold_every_model_with_its_own_numbers(report: Report):
    target = report.targets[0]
    rows = {row.key: row for row in model_rows(report, target)}
    assert list(rows) == ["teacher_float", "student_float", "ptq", "fake_quant", "engine"]
    assert rows["teacher_float"].macs == report.teacher.macs
    assert rows["student_float"].latency == target.baselines[1]
    assert rows["student_float"].size_bytes == report.student.size_bytes_float
    assert rows["ptq"].metric == target.ptq_metric
    assert rows["fake_quant"].latency is None
    assert rows["engine"].latency == target.latency_ms
    assert rows["engine"].speedup is None


def test_model_rows_leave_out_ptq_when_there_was_none(report: Report):
    without = report.targets[0].model_copy(update={"ptq_metric": None, "baselines": ()})
    rows = model_rows(report, without)
    assert [row.key for row in rows] == ["teacher_float", "student_float", "fake_quant", "engine"]
    assert all(row.latency is None for row in rows[:-1])


def test_model_rows_name_all_who_teach_in_order(report_of_many: Report):
    rows = model_rows(report_of_many, report_of_many.targets[0])[:5]
    assert [(row.label, row.detail, row.latency is None) for row in rows] == [
        ("Teacher", "resnet14", False),
        ("Teacher 2", "resnet26", True),
        ("Assistant 1", "middle1", True),
        ("Assistant 2", "middle2", True),
        ("Float student", "resnet8", False),
    ]
