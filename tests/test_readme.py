"""What the README says is real: commands, options, files, links, verbs, and its Python program."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command

from edgekd.cli.verbs import app

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
PAGES = [
    path
    for path in (ROOT / "README.md", ROOT / "benchmarks/README.md", ROOT / "CHANGELOG.md")
    if path.exists()
]
PLACEHOLDERS = {"SPEC", "MODEL", "KIND", "RUN"}


def _commands() -> list[str]:
    """Return every command line of edgekd in backticks and in shell blocks."""
    shell = [
        line for block in re.findall(r"```sh\n(.*?)```", README, re.DOTALL) for line in block.splitlines()
    ]
    inline = re.findall(r"`([^`\n]+)`", README)
    parts = [part.strip() for line in shell + inline for part in re.split(r"&&|;|\|", line)]
    return sorted({part for part in parts if part.startswith("edgekd ")})


def _parse(command: Any, words: list[str]) -> None:
    """Follow the verbs of ``words`` and check that each option exists."""
    while words and hasattr(command, "commands"):
        assert words[0] in command.commands, f"no verb {words[0]!r}"
        command, words = command.commands[words[0]], words[1:]
    options = {name for parameter in command.params for name in parameter.opts} | {"--help"}
    arguments = [parameter for parameter in command.params if parameter.param_type_name == "argument"]
    assert {word for word in words if word.startswith("--")} <= options
    assert len(words) >= sum(argument.required for argument in arguments)


def test_readme_has_commands() -> None:
    assert len(_commands()) >= 7


@pytest.mark.parametrize("line", _commands())
def test_command_is_real(line: str) -> None:
    words = shlex.split(line)[1:]
    _parse(get_command(app), words)
    for word in words:
        assert not word.endswith((".yaml", ".yml")) or (ROOT / word).is_file()


@pytest.mark.parametrize("option", sorted(set(re.findall(r"`(--[a-z-]+)", README))))
def test_option_is_real(option: str) -> None:
    verbs = get_command(app).commands.values()  # type: ignore[attr-defined]
    assert option in {"--help"} | {
        name for verb in verbs for parameter in verb.params for name in parameter.opts
    }


def test_every_verb_is_in_the_readme() -> None:
    for verb, command in get_command(app).commands.items():  # type: ignore[attr-defined]
        assert f"edgekd {verb}" in README
        for name in getattr(command, "commands", {}):
            assert f"{verb} {name}" in README


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#\s]+)", page.read_text()):
        assert target.startswith("https://") or (page.parent / target).exists(), target


@pytest.mark.parametrize(
    "name", sorted(set(re.findall(r"`((?:edgekd|pipelines|benchmarks|calibration)/[^`*\s]*)`", README)))
)
def test_named_path_exists(name: str) -> None:
    assert (ROOT / name).exists()


def test_stages_of_the_readme_are_those_of_the_pipeline() -> None:
    rows = re.findall(r"^\| `([a-z_]+)` \|", README, re.MULTILINE)
    pipeline = "".join((ROOT / "edgekd" / name).read_text() for name in ("teachers.py", "pipeline.py"))
    assert len(rows) >= 8
    assert set(rows) == set(re.findall(r"run\.run\(\s*([a-z_]+)", pipeline)) | {"verify_engine"}


@pytest.mark.slow
@pytest.mark.parametrize(
    "code", re.findall(r"<!-- runnable -->\n```python\n(.*?)```", README, re.DOTALL), ids=["0"]
)
def test_program_runs_and_proves_its_engine(code: str, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    top1, fallbacks, mismatches = done.stdout.split()
    assert float(top1) > 0.8
    assert (fallbacks, mismatches) == ("()", "0")
