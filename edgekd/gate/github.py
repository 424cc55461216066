"""What a GitHub workflow reads of a program's output: lines that become annotations.

Source:
    GitHub's documentation, "Workflow commands for GitHub Actions"; what is escaped how, in the command.ts of
    its toolkit.
"""

from collections.abc import Sequence

from edgekd.report.schema import GateResult
from edgekd.report.words import gate_sentence, gate_state, one_line

COMMANDS = {"failed": "error", "inconclusive": "warning", "not_applicable": "notice"}


def annotations(results: Sequence[GateResult]) -> list[str]:
    """Return a command for each gate that did not pass."""
    return [
        _command(
            COMMANDS[result.state],
            f"{result.name} {gate_state(result)}: {one_line(result.engine)}",
            gate_sentence(result),
        )
        for result in results
        if result.state in COMMANDS
    ]


def _command(command: str, title: str, message: str) -> str:
    return f"::{command} title={_property(title)}::{_data(message)}"


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")
