from dataclasses import replace

from edgekd.report.card import render_card
from edgekd.report.frontier import Point, latency_frontier, points, size_frontier, unbeaten
from edgekd.report.runs import Run, measured_on
from edgekd.report.schema import Report


def _points(report: Report) -> tuple[Point, ...]:
    return points(Run("mine", report), strong=True)


def test_points_hold_every_model_that_has_a_file(report: Report):
    assert [point.label for point in _points(report)] == [
        "Teacher",
        "Float student",
        "PTQ student",
        "Integer engine",
    ]


def test_points_of_two_targets_share_what_is_measured_for_both(report: Report):
    second = report.targets[0].model_copy(update={"kind": "openvino"})
    found = points(Run("two", report.model_copy(update={"targets": (*report.targets, second)})), strong=True)
    assert [point.label for point in found if point.style == "engine"] == [
        "Integer engine, onnxruntime",
        "Integer engine, openvino",
    ]
    assert len(found) == 5


def test_unbeaten_are_better_the_more_they_cost(report: Report):
    teacher, student, ptq, engine = _points(report)
    costs = {teacher: 4.0, student: 3.0, ptq: 1.0, engine: 2.0}  # 357, 355, 351 and 356 of 360 right
    assert unbeaten(costs) == [ptq, engine, teacher]
    assert unbeaten({teacher: 1.0, student: 1.0}) == [teacher]


def test_unbeaten_errors_are_small_ones(report: Report):
    small, large = (
        replace(point, metric=point.metric.model_copy(update={"value": value, "higher_is_better": False}))
        for point, value in zip(_points(report), (0.1, 0.3), strict=False)
    )
    assert unbeaten({small: 2.0, large: 1.0}) == [large, small]
    assert unbeaten({small: 1.0, large: 2.0}) == [small]


def test_latency_is_drawn_of_one_machine_only_and_size_of_all(report: Report):
    other = report.model_copy(update={"machine": report.machine.model_copy(update={"cpu": "Cortex-A76"})})
    shown = [*_points(report), *points(Run("board", other), strong=False)]
    here = measured_on(report, report.targets[0])
    timed, sized = latency_frontier(shown, here, width=464), size_frontier(shown, width=464)
    assert timed and sized
    assert len(timed.dots) == 4
    assert len(sized.dots) == 8
    assert [dot.style for dot in sized.dots].count("engine other") == 1
    assert latency_frontier(shown, "nowhere", width=464) is None


def test_milliseconds_belong_to_the_device_and_not_to_what_made_the_report(report: Report):
    board = report.machine.model_copy(update={"cpu": "Cortex-A76", "cores": 4})
    target = report.targets[0].model_copy(update={"device": "ssh pi", "machine": board})
    assert measured_on(report, target) == "Cortex-A76, 4 cores, device ssh pi"
    assert "Cortex-A76, onnxruntime" in render_card(report.model_copy(update={"targets": (target,)}))


def test_a_larger_file_stands_further_right_and_a_better_model_higher(report: Report):
    plot = size_frontier(_points(report), width=464)
    assert plot
    teacher, ptq = (
        next(dot for dot in plot.dots if dot.style == style) for style in ("teacher_float", "ptq")
    )
    assert teacher.x > ptq.x
    assert teacher.y < ptq.y
    assert teacher.whisker[0] > teacher.y > teacher.whisker[1]
    assert "mine, Teacher: 99.2 % (97.6-99.7), 1.12 MB" in plot.label
