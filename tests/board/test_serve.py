"""The runner as a process: it answers, believes nothing, and is gone with its folder when its input ends."""

import hashlib
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgekd.board.arrays import pack, unpack
from edgekd.board.frames import read_frame, write_frame
from edgekd.board.rounds import Design
from edgekd.device.archive import runner_archive

Ask = Callable[..., tuple[dict[str, Any], dict[str, bytes]]]
RUNTIME = {"runtime": "onnxruntime", "how": {"threads": 1}}


class Runner:
    def __init__(self, folder: Path) -> None:
        self.folder = folder / "runner"
        self.folder.mkdir()
        (folder / "runner.pyz").write_bytes(runner_archive())
        command = [sys.executable, str(folder / "runner.pyz"), "serve", str(self.folder)]
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )

    def tell(self, do: str, blobs: dict[str, bytes] | None = None, **header: object) -> None:
        write_frame(self.process.stdin, {"do": do, **header}, blobs)

    def ask(self, do: str, blobs: dict[str, bytes] | None = None, **header: object) -> Any:
        self.tell(do, blobs, **header)
        return read_frame(self.process.stdout)

    def assert_gone(self) -> None:
        assert self.process.wait(timeout=20) == 0
        assert not self.folder.exists()
        end = time.monotonic() + 10
        while (left := _running(self.folder)) and time.monotonic() < end:
            time.sleep(0.05)
        assert left == []


def _running(folder: Path) -> list[str]:
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            found.append(path.read_text(errors="replace"))
        except OSError:
            continue
    return [line for line in found if str(folder) in line]


@pytest.fixture
def runner(tmp_path: Path) -> Iterator[Runner]:
    started = Runner(tmp_path)
    yield started
    started.process.kill()
    for stream in (started.process.stdin, started.process.stdout, started.process.stderr):
        stream.close()
    started.process.wait()


def _opened(model: Path, runner: Runner) -> str:
    blob = model.read_bytes()
    runner.ask("put", {"file": blob})
    digest = hashlib.sha256(blob).hexdigest()
    found, _ = runner.ask("open", session="s", model=digest, **RUNTIME)
    assert "done" in found, found
    return digest


def test_it_opens_runs_and_closes(runner, residual) -> None:
    described, _ = runner.ask("describe")
    assert described["done"]["folder"] == str(runner.folder)
    _opened(residual.model, runner)
    feeds = {residual.lowered.graph.input[0].name: residual.inputs}
    found, blobs = runner.ask("run", {"feeds": pack(feeds)}, session="s")
    assert found == {"done": {}}
    (logits,) = unpack(blobs["outputs"]).values()
    assert logits.shape == (8, 5)
    assert runner.ask("close", session="s")[0] == {"done": {}}
    assert runner.ask("run", {"feeds": pack(feeds)}, session="s")[0]["failed"] == "KeyError"
    runner.process.stdin.close()
    runner.assert_gone()


@pytest.mark.parametrize("name", ["../../etc/passwd", "/etc/passwd", "0" * 63, "0" * 64 + "\n", ""])
def test_files_are_named_by_their_digest_alone(runner, name) -> None:
    found, _ = runner.ask("open", session="s", model=name, **RUNTIME)
    assert found["what"] == "a file is named by its sha256"
    found, _ = runner.ask("measure", {"example": b""}, engines={"e": {"model": name}})
    assert found["what"] == "a file is named by its sha256"


def test_a_job_that_fails_is_told_and_the_next_one_is_done(runner) -> None:
    for do, kind in (("no such job", "ValueError"), ("open", "KeyError"), ("put", "ValueError")):
        found, _ = runner.ask(do)
        assert found["failed"] == kind
    runner.ask("put", {"file": b"no model"})
    digest = hashlib.sha256(b"no model").hexdigest()
    found, _ = runner.ask("open", session="s", model=digest, **RUNTIME)
    assert found["failed"] == "RuntimeRefusal"
    assert "done" in runner.ask("describe")[0]


def test_the_end_of_its_input_ends_a_job(runner, residual) -> None:
    _opened(residual.model, runner)
    images = np.zeros((200_000, *residual.inputs.shape[1:]), np.uint8)
    runner.tell("run", {"feeds": pack({residual.lowered.graph.input[0].name: images})}, session="s")
    runner.process.stdin.close()
    runner.assert_gone()


def test_the_end_of_its_input_ends_a_measurement(runner, residual) -> None:
    digest = _opened(residual.model, runner)
    name = residual.lowered.graph.input[0].name
    example = pack({f"{index}/{name}": residual.inputs[:1] for index in range(2)})
    design = vars(Design(sessions=200, rounds=20))
    engine = {"model": digest, "runtime": "onnxruntime", "threads": 1}
    asked = {"engines": {"a": engine, "b": engine}, "design": design, "seed": 0, "wait_s": 100}
    found, _ = runner.ask("measure", {"example": example}, **asked)
    assert "progress" in found
    assert len(_running(runner.folder)) > 1
    runner.process.stdin.close()
    runner.assert_gone()


def test_what_is_no_frame_ends_it(runner) -> None:
    runner.process.stdin.write(b"edgekd {no json}\n")
    runner.process.stdin.flush()
    runner.assert_gone()
    assert b"a frame that cannot be read" in runner.process.stderr.read()
