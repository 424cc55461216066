from xml.etree import ElementTree

import pytest

from edgekd.report.card import render_bars, render_card
from edgekd.report.schema import Metric, Report

SVG = "{http://www.w3.org/2000/svg}"


def _texts(svg: str) -> list[str]:
    return ["".join(text.itertext()) for text in ElementTree.fromstring(svg).iter(f"{SVG}text")]


def test_render_card_shows_accuracy_latency_and_size_of_each_model(report: Report):
    svg = render_card(report)
    root = ElementTree.fromstring(svg)
    assert root.get("width") == "900"
    assert 380 <= float(root.get("height", 0)) <= 460
    texts = _texts(svg)
    for expected in (
        "Teacher",
        "Float student",
        "PTQ student",
        "Integer engine",
        "98.9 %",
        "90.9 kB",
        "1.12 MB",
    ):
        assert expected in texts
    assert f"{report.targets[0].latency_ms.p50:.3f}" in texts
    assert "prefers-color-scheme: dark" in svg


def test_render_card_draws_bars_in_proportion(report: Report):
    bars = [
        float(rect.get("width", 0))
        for rect in ElementTree.fromstring(render_card(report)).iter(f"{SVG}rect")
        if "bar" in rect.get("class", "").split()
    ]
    latency, sizes = bars[:4], bars[4:]
    p50_ms = [*(baseline.p50 for baseline in report.targets[0].baselines), report.targets[0].latency_ms.p50]
    assert [bar / latency[0] for bar in latency] == pytest.approx([ms / p50_ms[0] for ms in p50_ms], abs=0.01)
    assert sizes[1] / sizes[0] == pytest.approx(321_480 / 1_118_209, abs=0.01)


def test_render_card_escapes_and_shortens_untrusted_text(report: Report):
    hostile = report.model_copy(update={"pipeline": '</svg><script>alert("x")</script>' * 9})
    svg = render_card(hostile)
    assert "<script" not in svg
    assert all(len(text) <= 130 for text in _texts(svg))


def test_render_card_draws_nothing_for_what_was_not_measured(report: Report):
    target = report.targets[0].model_copy(update={"baselines": (), "ptq_metric": None})
    texts = _texts(render_card(report.model_copy(update={"targets": (target,)})))
    assert "PTQ student" not in texts
    assert texts.count("-") == 2


def test_render_card_takes_a_metric_that_is_no_fraction(report: Report):
    metric = Metric(name="mae", value=12.5, ci95=(12.5, 12.5), n=10)
    target = report.targets[0].model_copy(update={"metric": metric, "ptq_metric": metric})
    student = report.student.model_copy(update={"metric_float": metric, "metric_fake_quant": metric})
    teacher = report.teacher.model_copy(update={"metric": metric})
    changed = report.model_copy(update={"targets": (target,), "student": student, "teacher": teacher})
    assert _texts(render_card(changed)).count("12.5") == 4


def test_render_bars_fits_a_phone_when_in_one_column(report: Report):
    root = ElementTree.fromstring(render_bars(report, columns=1))
    assert root.get("width") == "400"
    assert all(float(text.get("x", 0)) < 400 for text in root.iter(f"{SVG}text"))
    assert _texts(render_bars(report, columns=1)).count("Integer engine") == 3
    assert _texts(render_bars(report)).count("Integer engine") == 1
