import subprocess
import sys
from html.parser import HTMLParser
from typing import Any

import pytest

from edgekd.report.html import render_comparison, render_html
from edgekd.report.runs import Run, Siblings
from edgekd.report.schema import Report
from edgekd.unions import OnnxRuntime, TensorRt

ATTACK = """</script></style></title>"'><script>alert(1)</script><img src=x onerror=alert(1)>{{ 7 * 7 }}"""


class _Page(HTMLParser):
    """The tags with their attributes, and the text."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        if self.cdata_elem is None:
            self.text += f" {data}"


def _poisoned(value: Any, key: str = "") -> Any:
    """Append the attack to every text of a report but the few that may only hold certain words."""
    if isinstance(value, dict):
        return {name: _poisoned(item, name) for name, item in value.items()}
    if isinstance(value, list):
        return [_poisoned(item, key) for item in value]
    words = {"teacher_float", "student_float", "ptq", "integer", "float", "border"}
    closed = value in words or key in {"verdict", "created", "state", "unit", "source"}
    if not isinstance(value, str) or not value or closed:
        return value
    attack = ATTACK.replace("/", "") if key == "model_path" else ATTACK  # which names a file
    return value + attack


@pytest.fixture(scope="module")
def page(report: Report) -> _Page:
    return _Page(render_html(report, Siblings((Run("another", report),), ("broken is left out: why",))))


def _changed(report: Report, **changes: object) -> Report:
    return report.model_copy(update={"targets": (report.targets[0].model_copy(update=changes),)})


def test_render_html_answers_what_a_reader_asks_in_this_order(page: _Page, report: Report):
    asked = (
        "Passed The engine computes exactly what was trained; all 4 gates passed.",
        "Verdict on onnxruntime, local",
        "Accuracy, and what it costs",
        "How much faster, at what accuracy?",
        "top1 of the engine: -0.3 points against the teacher, +0.3 points against the float student",
        "How sure is that?",
        "Is it the model that was trained?",
        "Where is time still lost?",
        "Layer by layer: 13 tensors",
        "Training",
        "How do I make it again?",
        report.command,
        "Seed 3",
        "onnxruntime 1.32.0",
        "distill.temperature changed: 2.0 -> 4.0",
    )
    text = " ".join(page.text.split())
    places = [text.index(said) for said in asked]
    assert places == sorted(places)


def test_render_html_says_where_time_is_lost_and_what_may_saturate(page: _Page):
    text = " ".join(page.text.split())
    assert "65.0 % integer, 0.0 % float, 5.0 % borders" in text
    assert "Lost: 3.1 % QuantizeLinear (image.q)" in text
    assert "On other CPUs: without VNNI, 3 of 16 channels" in text


def test_render_html_shows_the_layers_and_the_slowest_operators(page: _Page):
    text = " ".join(page.text.split())
    assert "block1.conv1 2.30 k 2 2 bits, table of 3 771 B -1..1 50.0 % 0.20 % 0 40.0 % integers" in text
    assert "head.q QuantizeLinear, border 1.9 %" in text


def test_render_html_shows_other_runs_and_what_is_left_out(page: _Page):
    assert "another" in page.text
    assert "broken is left out: why." in page.text
    assert "All 2 engines in numbers" in page.text


def test_render_html_says_when_other_runs_were_timed_elsewhere(report: Report):
    machine = report.machine.model_copy(update={"cpu": "Cortex-A76"})
    board = Run("board", report.model_copy(update={"machine": machine}))
    text = _Page(render_html(report, Siblings((board,)))).text
    assert "1 run timed on another machine" in text


def test_render_html_says_who_teaches_whom(report_of_many: Report):
    text = " ".join(_Page(render_html(report_of_many)).text.split())
    assert "resnet14 + resnet26 to middle1 to middle2 to resnet8, W8A8" in text
    assert "heard as one: resnet14 (75 % of what is heard, 278 k parameters, 99.2 %), resnet26 (25 %" in text
    assert "each taught by the one before: middle1 (278 k parameters, 99.2 %), middle2" in text


def test_render_html_needs_no_script_and_no_other_file(page: _Page):
    links = [
        value for _, attrs in page.tags for key, value in attrs.items() if key in {"src", "href", "srcset"}
    ]
    assert links
    assert all(link and link.startswith("data:image/svg+xml;base64,") for link in links)
    assert "script" not in {tag for tag, _ in page.tags}
    policy = next(attrs["content"] for tag, attrs in page.tags if attrs.get("http-equiv"))
    assert policy == "default-src 'none'; style-src 'unsafe-inline'; img-src data:"


def test_render_html_is_small(report: Report):
    assert len(render_html(report, Siblings((Run("another", report),) * 20))) < 400_000


def test_render_html_escapes_every_text(report_of_many: Report):
    report = report_of_many
    hostile = Report.model_validate(_poisoned(report.model_dump(mode="json")))
    clean, poisoned = (
        _Page(render_html(shown, Siblings((Run("a" + ATTACK, shown),), ("note",))))
        for shown in (report, hostile)
    )
    assert {tag for tag, _ in poisoned.tags} == {tag for tag, _ in clean.tags}
    assert not any(key.startswith("on") for _, attrs in poisoned.tags for key in attrs)
    assert "{{ 7 * 7 }}" in poisoned.text


def test_render_html_shows_every_target(report: Report):
    second = report.targets[0].model_copy(update={"kind": "openvino", "baselines": (), "times_ms": {}})
    text = _Page(
        render_html(report.model_copy(update={"targets": (*report.targets, second), "gates": ()}))
    ).text
    assert "Verdict on onnxruntime" in text
    assert "Verdict on openvino" in text
    assert "How much faster, at what accuracy? (openvino)" in text
    twins = [second.model_copy(update={"options": text}) for text in ("batch 8", "float parts fp16")]
    text = _Page(render_html(report.model_copy(update={"targets": tuple(twins), "gates": ()}))).text
    assert "Verdict on openvino, batch 8, local" in text
    assert "How much faster, at what accuracy? (openvino, float parts fp16 on local)" in text
    assert "no gates were set" in text


def test_targets_of_one_kind_differ_by_their_options():
    assert TensorRt(batch=8, float_parts="fp16", device="ssh:board").options == "batch 8, float parts fp16"
    assert (OnnxRuntime(threads=2).options, OnnxRuntime().options) == ("threads 2", "")


def test_render_html_of_an_engine_that_was_not_timed_shows_no_latency(report: Report):
    coverage = report.targets[0].coverage.model_copy(update={"nodes": (), "integer_time_share": None})
    html = render_html(_changed(report, latency_ms=None, baselines=(), times_ms={}, coverage=coverage))
    text = _Page(html).text
    assert "Accuracy against size" in text
    for absent in ("Accuracy against latency", "How sure is that?", "round by round", "of the time"):
        assert absent not in text


def test_render_html_is_the_same_for_the_same_report(report: Report):
    assert render_html(report) == render_html(report)


def test_render_comparison_draws_only_what_may_be_compared(report: Report):
    other = report.model_copy(update={"data": report.data.model_copy(update={"kind": "parquet"})})
    text = _Page(render_comparison([Run("one", report), Run("two", report), Run("strange", other)])).text
    assert "Comparison of 3 engines" in text
    assert "Other data or another metric than one: strange." in text
    assert "two, Integer engine" in text
    assert "strange, Integer engine" not in text


def test_report_imports_no_torch():
    modules = "card, html, summary"
    code = f"import sys; from edgekd.report import {modules}; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"
