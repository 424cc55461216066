"""JUnit, Markdown and workflow commands, read by real parsers; words from anywhere stay words."""

from xml.etree import ElementTree

import pytest
from markdown_it import MarkdownIt

from edgekd.gate.github import annotations
from edgekd.gate.junit import junit_xml
from edgekd.gate.markdown import markdown

TITLE = "runs/a|b <i> `c`"


def test_junit_has_a_case_for_each_result_and_counts_them(results) -> None:
    root = ElementTree.fromstring(junit_xml(TITLE, results))
    (suite,) = root
    for element in (root, suite):
        assert [element.get(name) for name in ("tests", "failures", "errors")] == ["4", "1", "1"]
    assert suite.get("name") == TITLE
    assert [[child.tag for child in case] for case in suite] == [
        ["system-out"],
        ["failure"],
        ["error"],
        ["skipped"],
    ]
    assert [case.get("name") for case in suite] == [
        "accuracy.min",
        "accuracy.min",
        "latency.max_ratio",
        "accuracy.min",
    ]
    assert (suite.get("skipped"), suite[3][0].get("message")) == ("1", "limit 97.5 %: no oracle")
    failure, error = suite[1][0], suite[2][0]
    assert failure.get("message") == failure.text
    assert failure.text.startswith("98.89 %, limit 97.5 %: a|b ::error::c%0A<script>&\"']]>??[31m **d**")
    assert "1.012x (1.003-1.021), limit 1.05x" in error.text


@pytest.fixture
def tokens(results) -> list:
    return MarkdownIt("gfm-like", {"linkify": False, "html": True}).parse(markdown(TITLE, results))


def test_markdown_is_a_table_of_text(results, tokens) -> None:
    cells = [tokens[i + 1] for i, token in enumerate(tokens) if token.type in ("th_open", "td_open")]
    assert [token.type for token in tokens].count("tr_open") == 1 + len(results)
    assert len(cells) == 6 * (1 + len(results))
    texts = ["".join(child.content for child in cell.children) for cell in cells]
    assert {child.type for cell in cells for child in cell.children} <= {"text", "text_special"}
    assert texts[6:11] == ["✅ passed", "accuracy.min", "model.onnxruntime.onnx", "97.5 %", "98.89 %"]
    assert texts[12] == "❌ failed"
    assert texts[17].startswith("a|b ::error::c%0A<script>&\"']]>??[31m **d** `e` [f](http://g)")
    heading = next(token for token in tokens if token.type == "inline")
    said = "".join(child.content for child in heading.children)
    assert said == f"edgekd gate: 1 of 3 passed, {TITLE}"


def test_annotations_are_one_escaped_line_each(results) -> None:
    error, warning, notice = annotations(results)
    assert (
        notice
        == "::notice title=accuracy.min not applicable%3A model.onnxruntime.onnx::limit 97.5 %25: no oracle"
    )
    assert error.startswith("::error title=accuracy.min failed%3A a|b %3A%3Aerror%3A%3Ac%250A<script>")
    assert warning.startswith("::warning title=latency.max_ratio inconclusive%3A ")
    for line in (error, warning):
        assert line.isprintable()
        properties, message = line.removeprefix("::").split("::", 1)
        assert "," not in properties
        assert "c%250A<script>" in message
        assert "%0A" not in message.replace("%250A", "")
