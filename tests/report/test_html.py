import json
import re
import subprocess
import sys
from html.parser import HTMLParser
from typing import Any

import pytest
from plotly.offline import get_plotlyjs

from edgekd.report.html import render_html
from edgekd.report.schema import Report

ATTACK = """</script></style></title>"'><script>alert(1)</script><img src=x onerror=alert(1)>{{ 7 * 7 }}"""


class _Page(HTMLParser):
    """The tags with their attributes, and the text of each script."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.scripts: list[str] = []
        self.text = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag == "script":
            self.scripts.append("")

    def handle_data(self, data: str) -> None:
        if self.cdata_elem == "script":
            self.scripts[-1] += data
        else:
            self.text += data


def _poisoned(value: Any, key: str = "") -> Any:
    """Append the attack to every text of a report but the few that may only hold certain words."""
    if isinstance(value, dict):
        return {name: _poisoned(item, name) for name, item in value.items()}
    if isinstance(value, list):
        return [_poisoned(item, key) for item in value]
    names = {"teacher_float", "student_float", "ptq"}
    closed = value in names or key in {"verdict", "created", "state", "unit"}
    return value + ATTACK if isinstance(value, str) and not closed else value


@pytest.fixture(scope="module")
def page(report: Report) -> _Page:
    return _Page(render_html(report))


def test_render_html_shows_how_each_layer_is_stored(page: _Page):
    text = " ".join(page.text.split())
    assert "and graph 12.0 kB; 71.3 kB as a compressed download (zlib, level 9)" in text
    assert "Weights of 2 layers" in text and "2 bits, table of 3" in text


def test_render_html_needs_no_other_file(page: _Page):
    links = [
        value for _, attrs in page.tags for key, value in attrs.items() if key in {"src", "href", "srcset"}
    ]
    assert links
    assert all(link and link.startswith("data:image/svg+xml;base64,") for link in links)
    policy = next(attrs["content"] for tag, attrs in page.tags if attrs.get("http-equiv"))
    assert policy and policy.startswith("default-src 'none'; script-src 'nonce-")


def test_render_html_gives_the_verdict_before_the_models(page: _Page):
    for said in ("0 oracle mismatches in 18 nodes", "faster than its float form", "21 in integers"):
        assert 0 < page.text.index(said) < page.text.index("Models")


def test_render_html_holds_stages_machine_and_command(page: _Page, report: Report):
    for said in (
        "distill.temperature changed: 2.0 -> 4.0",
        "AMD EPYC 9B45",
        report.command,
        "latency.max_ratio",
    ):
        assert said in page.text


def test_render_html_has_a_figure_for_every_plot_and_plotly_once(page: _Page):
    figures = json.loads(page.scripts[0])
    places = [attrs["data-figure"] for _, attrs in page.tags if "data-figure" in attrs]
    assert sorted(places) == sorted(figures) == ["accuracy-0", "latency-0", "training"]
    assert [get_plotlyjs() in script for script in page.scripts] == [False, True, False]


def test_render_html_escapes_every_text(report: Report):
    hostile = Report.model_validate(_poisoned(report.model_dump(mode="json")))
    clean, poisoned = _Page(render_html(report)), _Page(render_html(hostile))
    assert [tag for tag, _ in poisoned.tags] == [tag for tag, _ in clean.tags]
    assert not any(key.startswith("on") for _, attrs in poisoned.tags for key in attrs)
    assert len(poisoned.scripts) == 3
    assert sorted(json.loads(poisoned.scripts[0])) == sorted(json.loads(clean.scripts[0]))
    assert "{{ 7 * 7 }}" in poisoned.text


def test_render_html_shows_every_target(report: Report):
    second = report.targets[0].model_copy(update={"kind": "openvino", "baselines": (), "times_ms": {}})
    two = _Page(render_html(report.model_copy(update={"targets": (*report.targets, second), "gates": ()})))
    assert "Verdict on onnxruntime" in two.text
    assert "Verdict on openvino" in two.text
    assert "latency-1" in json.loads(two.scripts[0])


def test_render_html_is_the_same_for_the_same_report(report: Report):
    first = render_html(report)
    assert first == render_html(report)
    assert re.search(r"<script nonce=\"[0-9a-f]{64}\">", first)


def test_report_imports_no_torch():
    modules = "card, html, summary"
    code = f"import sys; from edgekd.report import {modules}; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"
