import pytest

from edgekd.report.plots import accuracy_latency_figure, latency_figure, training_figure
from edgekd.report.schema import Report


def test_accuracy_latency_figure_has_a_bubble_per_measured_model(report: Report):
    bubbles = accuracy_latency_figure(report, report.targets[0])["data"]
    assert [bubble["name"] for bubble in bubbles] == [
        "Teacher",
        "Float student",
        "PTQ student",
        "Integer engine",
    ]
    teacher, student = bubbles[:2]
    assert (student["marker"]["size"] / teacher["marker"]["size"]) ** 2 == pytest.approx(321_480 / 1_118_209)
    assert student["error_y"]["array"] == [pytest.approx(report.student.metric_float.ci95[1] - 355 / 360)]


def test_latency_figure_has_every_round_of_every_model(report: Report):
    boxes = {box["name"]: box["x"] for box in latency_figure(report, report.targets[0])["data"]}
    assert list(boxes)[-1] == "Teacher"
    assert boxes["Integer engine"] == report.targets[0].times_ms["engine"]


def test_training_figure_joins_the_phases_end_to_end(report: Report):
    lines = [line for line in training_figure(report)["data"] if "yaxis" not in line]
    assert [line["name"] for line in lines] == ["teacher", "distil float", "distil fake-quant"]
    assert [step for line in lines for step in line["x"]] == list(range(1, 51))
    assert [loss for line in lines for loss in line["y"]] == [epoch.loss for epoch in report.student.history]


def test_training_figure_escapes_phase_names_for_plotly(report: Report):
    epoch = report.student.history[0].model_copy(update={"phase": '<a href="https://x.test">x</a>'})
    student = report.student.model_copy(update={"history": (epoch,)})
    names = [line["name"] for line in training_figure(report.model_copy(update={"student": student}))["data"]]
    assert names == ["&lt;a href=&quot;https://x.test&quot;&gt;x&lt;/a&gt;"] * 2
