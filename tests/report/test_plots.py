from functools import partial

import pytest

from edgekd.report.axis import Axis, axis_of
from edgekd.report.plot import Dot, Frame, Plot, place_names
from edgekd.report.plots import latency_plot, phases, training_plots
from edgekd.report.schema import Report


def _latency(report: Report, **changes: object) -> Plot | None:
    return latency_plot(report, report.targets[0].model_copy(update=changes), width=464)


@pytest.mark.parametrize(("log", "places"), [(False, [100, 70, 10]), (True, [100, 55, 10])])
def test_an_axis_places_values(log: bool, places: list[float]):
    """From 1 at 100 px to 4 at 10 px: 30 px for a step of 1, or 45 px for a factor of 2."""
    axis = Axis(1, 4, 100, 10, log=log)
    assert [axis.at(value) for value in (1, 2, 4)] == places


@pytest.mark.parametrize("values", [[], [0.0], [3.0], [-1.0, 2.0], [1e-9, 1e9], [0.5, 0.5000001]])
@pytest.mark.parametrize("log", [False, True])
def test_an_axis_holds_its_values_and_names_a_few_round_ones(values: list[float], log: bool):
    axis = axis_of(values, start=0, end=100, log=log)
    assert all(0 < axis.at(value) < 100 for value in values)
    ticks = axis.ticks("{:g}".format, most=5)
    assert 1 <= len(ticks) <= 6
    assert all(0 <= tick.at <= 100 for tick in ticks)


def test_names_cover_neither_dots_nor_names():
    left, right, above = (Dot(x, y, 6, "", "") for x, y in ((60, 50), (80, 50), (60, 36)))
    place = partial(place_names, dots=[left, right, above], frame=Frame(0, 0, 200, 100))
    names = place([(left, "left"), (right, "right"), (above, "above")])
    assert [(name.text, name.anchor) for name in names] == [
        ("left", "end"),
        ("right", "start"),
        ("above", "start"),
    ]
    assert place([(left, "longer than the room" * 2), (left, "left")])[0].text == "left"


def test_latency_plot_has_every_round_of_every_model(report: Report):
    plot = _latency(report)
    assert plot
    for name, times in report.targets[0].times_ms.items():
        assert sum(dot.style.startswith(name) for dot in plot.dots) == len(times)
    teacher, engine = (
        next(dot.x for dot in plot.dots if dot.style.startswith(name)) for name in ("teacher", "engine")
    )
    assert engine < teacher
    assert "Integer engine: 0.0" in plot.label


def test_latency_plot_thins_out_thousands_of_rounds(report: Report):
    plot = _latency(report, times_ms={"engine": tuple(1 + i % 97 for i in range(5000))})
    assert plot and 100 < len(plot.dots) <= 240


def test_latency_plot_is_none_where_nothing_was_timed(report: Report):
    assert _latency(report, times_ms={}) is None


def test_training_plots_join_the_phases_end_to_end(report: Report):
    assert phases(report.student.history) == [
        ("teacher", 1, 20),
        ("distil float", 21, 40),
        ("distil fake-quant", 41, 50),
    ]
    loss, metric = training_plots(report, width=464)
    assert [len(line.points) for line in loss.lines if line.style == "curve student"] == [20, 20, 10]
    assert [len(line.points) for line in metric.lines if line.style == "curve student"] == [10, 10, 5]
    assert [line.style for line in loss.lines].count("phase") == 2
    assert [name.text for name in loss.names] == ["teacher", "distil float"]  # the third has no room
    assert metric.y_title == "validation top1"


def test_training_plots_show_a_teacher_that_learns(report: Report):
    learning = tuple(
        epoch.model_copy(update={"teacher_loss": 2.0 / epoch.epoch}) for epoch in report.student.history[-10:]
    )
    student = report.student.model_copy(update={"history": learning})
    loss, _ = training_plots(report.model_copy(update={"student": student}), width=464)
    assert [len(line.points) for line in loss.lines if line.style == "curve teacher"] == [10]
    assert "teacher from 2 to 0.2" in loss.label


@pytest.mark.parametrize(
    ("losses", "count"), [([float("nan")], 0), ([float("inf"), 1.0], 1), ([-2.0, 0.0], 1)]
)
def test_training_plots_survive_losses_of_any_kind(report: Report, losses: list[float], count: int):
    epoch = report.student.history[0]
    history = tuple(epoch.model_copy(update={"loss": loss, "metric": None}) for loss in losses)
    student = report.student.model_copy(update={"history": history})
    plots = training_plots(report.model_copy(update={"student": student}), width=330)
    assert len(plots) == count
