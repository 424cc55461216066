"""Results as Markdown: what a workflow shows of itself, or a comment on a change."""

import string
from collections.abc import Sequence

from edgekd.report.schema import GateResult
from edgekd.report.words import gate_limit, gate_state, gate_value, one_line

MARKS = {"passed": "✅", "failed": "❌", "inconclusive": "❔", "not_applicable": "⬜"}
COLUMNS = ("", "gate", "engine", "limit", "measured", "")
_PLAIN = frozenset(string.ascii_letters + string.digits + " .,%()+-")


def markdown(title: str, results: Sequence[GateResult]) -> str:
    """Return a heading and a table with a row for each limit and engine."""
    rows = [
        (
            f"{MARKS[result.state]} {gate_state(result)}",
            result.name,
            result.engine,
            gate_limit(result),
            gate_value(result),
            result.text,
        )
        for result in results
    ]
    passed = sum(result.state == "passed" for result in results)
    judged = sum(result.state != "not_applicable" for result in results)
    lines = [
        f"### edgekd gate: {passed} of {judged} passed, {_cell(title)}",
        "",
        _row(COLUMNS),
        _row(["---"] * len(COLUMNS)),
        *(_row([_cell(text) for text in row]) for row in rows),
    ]
    return "\n".join(lines) + "\n"


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _cell(text: str) -> str:
    """Return text that is no markup: an entity is never the beginning of one (CommonMark 0.31, sec. 2.5)."""
    return "".join(
        sign if sign in _PLAIN or ord(sign) > 127 else f"&#{ord(sign)};" for sign in one_line(text)
    )
