"""The verb ``gate``: exit codes, files, and what a workflow reads."""

import json
from pathlib import Path

import numpy as np
import pytest

from edgekd.device.latency import LatencySamples, Measurement
from edgekd.device.local import LocalConnection


@pytest.fixture
def gates(tmp_path: Path):
    def write(*lines: str) -> Path:
        path = tmp_path / "gates.yaml"
        path.write_text("version: 1\ngates:\n" + "".join(f"  - {{{line}}}\n" for line in lines))
        return path

    return write


@pytest.fixture
def undecided(monkeypatch: pytest.MonkeyPatch) -> None:
    """Timing that cannot tell the two engines apart."""
    spread = np.exp([[[0.1]], [[-0.1]]])

    def measure(self, models, feeds, *, seed):
        times = {"engine": spread, "baseline": 1 / spread}
        return Measurement({name: LatencySamples(name, times[name], warmup=5) for name in models})

    monkeypatch.setattr(LocalConnection, "measure", measure)


@pytest.mark.parametrize(
    ("lines", "code"),
    [
        (["kind: size, max_bytes: 1000000"], 0),
        (["kind: size, max_bytes: 1000000", "kind: latency, max_ratio: 1.01"], 4),
        (["kind: size, max_bytes: 10", "kind: latency, max_ratio: 1.01"], 3),
        (["kind: agreement, min: 0.9"], 2),
        (["kind: size"], 2),
    ],
    ids=["passed", "inconclusive", "failed", "unknown", "no_limit"],
)
def test_exit_code_says_what_happened(cli, gates, pixel_model: Path, undecided, lines, code: int) -> None:
    done = cli("gate", pixel_model, "--gates", gates(*lines), "--baseline", pixel_model, "--json")
    assert done.code == code, done.err
    if code == 2:
        assert "fix:" in done.err
    else:
        answer = json.loads(done.out)
        assert answer["state"] == {0: "passed", 3: "failed", 4: "inconclusive"}[code]
        assert len(answer["gates"]) == len(lines)


def test_target_names_the_engine_to_judge(cli, gates, pixel_model: Path) -> None:
    limits = gates("kind: size, max_bytes: 1000000")
    assert cli("gate", pixel_model, "--gates", limits, "--target", "onnxruntime").code == 0
    refused = cli("gate", pixel_model, "--gates", limits, "--target", "openvino")
    assert (refused.code, "no engine for the target 'openvino'" in refused.err) == (2, True)


def test_results_are_written_shown_and_annotated(
    cli, gates, pixel_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    summary = tmp_path / "summary.md"
    summary.write_text("# before\n")
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(summary))
    files = [tmp_path / "out" / "gate.xml", tmp_path / "out" / "gate.md"]
    limits = gates("kind: size, max_bytes: 10")
    options = ("--junit", files[0], "--markdown", files[1])
    done = cli("gate", pixel_model, "--gates", limits, *options)
    assert done.code == 3
    lines = done.out.splitlines()
    assert any(line.startswith("failed  size.max_bytes  10 B") for line in lines)
    assert [line for line in lines if line.startswith("::")] == lines[-1:]
    assert lines[-1].startswith("::error title=size.max_bytes failed%3A")
    assert "<failure" in files[0].read_text()
    assert summary.read_text() == "# before\n" + files[1].read_text()

    done = cli("gate", pixel_model, "--gates", limits, "--json")
    assert json.loads(done.out)["state"] == "failed"
    assert done.err.startswith("::error ")


def test_no_sign_in_a_file_name_is_obeyed_by_a_terminal(cli, gates, pixel_model: Path) -> None:
    hostile = pixel_model.rename(pixel_model.with_name("a\x1b]0;owned\x07\u202e.onnx"))
    done = cli("gate", hostile, "--gates", gates("kind: size, max_bytes: 10"))
    assert "a?]0;owned??.onnx: failed" in done.out.replace("\n", "")
    assert all(line.isprintable() for line in done.out.splitlines())


def test_places_that_cannot_be_written_are_said_first(cli, gates, pixel_model: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    limits = gates("kind: size, max_bytes: 10")
    done = cli("gate", pixel_model, "--gates", limits, "--junit", tmp_path / "file" / "gate.xml")
    assert (done.code, done.out) == (2, "")
    done = cli("gate", pixel_model, "--gates", limits, "--record")
    assert (done.code, done.out) == (2, "")


def test_workflow_is_printed_without_a_run(cli) -> None:
    done = cli("gate", "--workflow")
    assert done.code == 0
    assert "edgekd gate" in done.out
    assert "required" not in cli("gate", "--help").out


@pytest.mark.parametrize(
    ("words", "missing"), [(("--gates", "g.yaml"), "RUN|MODEL"), (("runs/a",), "--gates")]
)
def test_what_is_missing_is_said(cli, words: tuple[str, ...], missing: str) -> None:
    done = cli("gate", *words)
    assert (done.code, done.out) == (2, "")
    assert done.err.startswith(f"SpecError: {missing} is missing\n")
