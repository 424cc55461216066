"""The workflow for a user's repository: YAML, and every command of edgekd in it is one that exists."""

import re
import shlex
from importlib.resources import files
from typing import Any

import yaml
from typer.main import get_command

from edgekd.cli.verbs import app

TEXT = files("edgekd.gate").joinpath("workflow.yml").read_text()
WORKFLOW = yaml.load(TEXT, Loader=yaml.BaseLoader)  # in which "on" stays a word
STEPS: list[dict[str, Any]] = WORKFLOW["jobs"]["gate"]["steps"]


def test_workflow_gates_changes_and_reads_only() -> None:
    assert set(WORKFLOW["on"]) == {"pull_request", "push"}
    assert WORKFLOW["permissions"] == {"contents": "read"}
    assert all(("uses" in step) != ("run" in step) for step in STEPS)
    assert all(
        re.fullmatch(r"actions/[a-z-]+(/[a-z]+)?@v\d+", step["uses"]) for step in STEPS if "uses" in step
    )


def test_commands_of_edgekd_parse() -> None:
    lines = [line for step in STEPS for line in step.get("run", "").splitlines() if line.startswith("edgekd")]
    assert lines
    for line in lines:
        for name, value in WORKFLOW["env"].items():
            line = line.replace(f"${name}", value)
        verb, *words = shlex.split(line)[1:]
        command = get_command(app).commands[verb]  # type: ignore[attr-defined]
        assert command.make_context(verb, words).params


def test_scripts_take_no_text_of_the_event() -> None:
    for step in STEPS:
        assert "${{" not in step.get("run", "")


def test_results_and_the_engine_itself_are_kept() -> None:
    (gate,) = (step["run"] for step in STEPS if "edgekd gate" in step.get("run", ""))
    uploaded = next(step["with"]["path"] for step in STEPS if "upload-artifact" in step.get("uses", ""))
    for name in re.findall(r"--(?:junit|markdown) (\S+)", gate):
        assert name in uploaded.split()
    kept = next(step for step in STEPS if step.get("uses", "").startswith("actions/cache/save"))
    assert kept["with"]["path"] in shlex.split(gate)
    assert "refs/heads/main" in kept["if"]
