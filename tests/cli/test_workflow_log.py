"""What a GitHub workflow would obey: nothing that comes from elsewhere, however it is written."""

import json
import sys
from io import StringIO
from pathlib import Path

import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgekd.cli.workflow_log import commands_taken_apart, print_command

PIECES = st.lists(st.sampled_from(["::", ":", "#", "##", "[", "]", " ", "\t", "\n", "\r", "error", "\u2003"]))


def _obeyed(text: str) -> list[str]:
    """Return the lines that ActionCommand.cs of GitHub's runner takes for commands."""
    lines = text.replace("\r", "\n").split("\n")
    return [line for line in lines if line.lstrip().startswith("::") or "##[" in line]


def _printed(pieces: list[str]) -> str:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GITHUB_ACTIONS", "true")
        patch.setattr(sys, "stdout", StringIO())
        with commands_taken_apart():
            for piece in pieces:
                sys.stdout.write(piece)
        return sys.stdout.getvalue()


@given(PIECES)
def test_no_command_is_left_whatever_pieces_it_comes_in(pieces: list[str]) -> None:
    printed = _printed(pieces)
    assert _obeyed(printed) == []
    assert printed == _printed(["".join(pieces)])
    text = printed.replace("##\\u005b", "##[")
    assert text.replace(" ", "") == "".join(pieces).replace(" ", "")  # spaces come between colons, no more


def test_json_keeps_its_value() -> None:
    text = json.dumps({"name": "##[error]x", "other": "::error::"}, indent=2)
    assert json.loads(_printed([text])) == json.loads(text)


def test_elsewhere_nothing_changes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("GITHUB_ACTIONS", raising=False)
    before = sys.stdout
    with commands_taken_apart():
        assert sys.stdout is before


def test_only_commands_that_are_meant_pass(monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    with commands_taken_apart():
        print("::set-output name=a::b")
        print_command("::error title=a::b", err=False)
    assert capsys.readouterr().out == ": :set-output name=a::b\n::error title=a::b\n"


@pytest.mark.parametrize("verb", ["inspect", "verify"])
def test_no_name_in_a_model_or_of_a_file_is_obeyed(
    cli, float_model: Path, monkeypatch: pytest.MonkeyPatch, verb: str
) -> None:
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    model = onnx.load(float_model)
    model.graph.node[0].name = "  ::error::" + "long ##[set-output name=a]b " * 9 + "::warning::"
    hostile = float_model.with_name("a\n::stop-commands::x\x1b[31m.onnx")
    onnx.save(model, hostile)
    done = cli(verb, hostile)
    assert "error::" in done.out
    assert ": :stop-commands::x?[31m.onnx" in done.out + done.err
    assert _obeyed(done.out + done.err) == []
