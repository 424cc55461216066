"""Output that a GitHub workflow reads: no word in it is a command, except those of edgekd itself.

A workflow obeys lines of either stream that begin with ``::``, after any spaces, and ``##[`` anywhere in one.
Names of operators, boards and files may hold both, and a table may break a cell just there. So the streams
themselves take such signs apart, whoever writes.

Source:
    GitHub's documentation, "Workflow commands for GitHub Actions"; its runner, ActionCommand.cs.
"""

import os
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TextIO

_COMMAND = re.compile(r"((?:\A|(?<=[\n\r]))[^\S\n\r]*:)(?=:)|(?<=##)\[")
_LINE_END = re.compile(r"[\n\r]")


def in_workflow() -> bool:
    """Whether a GitHub workflow reads what is printed."""
    return os.environ.get("GITHUB_ACTIONS") == "true"


class _WithoutCommands:
    """A stream that writes ``: :`` for a line's first ``::``, and the bracket of ``##[`` as JSON does."""

    def __init__(self, stream: TextIO) -> None:
        self.stream = stream
        self._line = ""  # what the last line has so far

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)

    def write(self, text: str) -> int:
        """Write text; what comes in pieces is seen as one."""
        safe = _COMMAND.sub(_apart, self._line + text)
        self.stream.write(safe[len(self._line) :])
        self._line = _LINE_END.split(safe)[-1]
        return len(text)

    def writelines(self, lines: Any) -> None:
        """Write several pieces."""
        for line in lines:
            self.write(line)


@contextmanager
def commands_taken_apart() -> Iterator[None]:
    """While the block runs in a GitHub workflow, nothing that is printed is a command to it."""
    streams = sys.stdout, sys.stderr
    if in_workflow():
        safe: list[Any] = [stream and _WithoutCommands(stream) for stream in streams]
        sys.stdout, sys.stderr = safe
    try:
        yield
    finally:
        sys.stdout, sys.stderr = streams


def print_command(line: str, *, err: bool) -> None:
    """Print a command that edgekd means, on a line of its own."""
    stream: Any = sys.stderr if err else sys.stdout
    stream = getattr(stream, "stream", stream)
    stream.write(f"{line}\n")


def _apart(found: re.Match[str]) -> str:
    return f"{found[1]} " if found[1] else "\\u005b"
