"""What a host does with a runner that says something else, nothing, or is not there."""

import json
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from edgekd.board.arrays import pack
from edgekd.board.sessions import probe
from edgekd.device.channel import Channel
from edgekd.device.runner import RunnerConnection
from edgekd.errors import DeviceError
from edgekd.runtimes.onnx_runtime_target import OnnxRuntimeTarget
from edgekd.runtimes.target import BuiltModel


def _channel(code: str, **options: object) -> Channel:
    return Channel([sys.executable, "-S", "-c", code], device="board", **options)


ANSWER = "import sys; sys.stdin.buffer.readline(); sys.stdout.buffer.write({!r}); sys.stdout.flush()"


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"no frame\n",
        b"edgekd {\n",
        b'edgekd {"blobs": [["a", 9]]}\nabc',
        b'edgekd {"blobs": [], "done": 3}\n',
        b'edgekd {"blobs": [], "failed": 3, "what": []}\n',
        b'edgekd {"blobs": [], "progress": "many"}\n',
        b'edgekd {"blobs": [], "progress": [1, null]}\n',
        b"x" * 100_000,
    ],
)
def test_an_answer_that_is_none_is_an_error(answer) -> None:
    with _channel(ANSWER.format(answer)) as channel, pytest.raises(DeviceError) as caught:
        channel.ask("describe")
    assert caught.value.where == "board"
    assert channel.lost


def test_other_text_before_the_answer_is_skipped() -> None:
    answer = b'Welcome!\nedgekd {"blobs": [["a", 3]], "done": {}}\nabc'
    with _channel(ANSWER.format(answer)) as channel:
        assert channel.ask("describe") == ({}, {"a": b"abc"})
    assert not channel.lost


def test_silence_is_given_up_and_the_process_is_gone() -> None:
    begun = time.monotonic()
    with _channel("import time; time.sleep(99)", silence_s=0.5) as channel:
        with pytest.raises(DeviceError, match=r"nothing was heard for 0\.5 s") as caught:
            channel.ask("describe")
        assert caught.value.fix
    assert channel.exit_code is not None
    assert time.monotonic() - begun < 10


GOES_ON = """
import itertools, sys, time
sys.stdin.buffer.readline()
for done in itertools.count():
    frame = b'edgekd {"blobs": [], "progress": [%d, %d]}\\n' % (done * int(sys.argv[1]), done + 9)
    sys.stdout.buffer.write(frame)
    sys.stdout.flush()
    time.sleep(float(sys.argv[2]))
"""


@pytest.mark.parametrize("pause_s", ["0", "0.1"])
def test_one_that_says_for_ever_that_it_goes_on_is_given_up(pause_s: str) -> None:
    told: list[int] = []
    command = [sys.executable, "-S", "-c", GOES_ON, "0", pause_s]
    with Channel(command, device="board", silence_s=0.5) as channel:
        with pytest.raises(DeviceError, match=r"it came no further for 0\.5 s") as caught:
            channel.ask("measure", on_progress=lambda done, total: told.append(done))
        assert caught.value.fix
    assert told == [0]
    assert channel.exit_code is not None


def test_one_that_comes_further_for_ever_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edgekd.device.channel.LONGEST_JOB_S", 2.0)
    told: list[int] = []
    command = [sys.executable, "-S", "-c", GOES_ON, "1", "0.1"]
    with (
        Channel(command, device="board", silence_s=1) as channel,
        pytest.raises(DeviceError, match="it was not done after 2 s"),
    ):
        channel.ask("measure", on_progress=lambda done, total: told.append(done))
    assert told == list(range(len(told)))
    assert len(told) > 5  # longer than one silence


def test_its_last_words_are_told() -> None:
    code = "import sys; sys.exit('the board is on fire')"
    with _channel(code) as channel, pytest.raises(DeviceError, match="the board is on fire"):
        channel.ask("describe")


def test_a_program_that_is_not_there_is_told() -> None:
    with pytest.raises(DeviceError, match="cannot start no-such-program") as caught:
        Channel(["no-such-program"], device="board")
    assert caught.value.fix == "install no-such-program"


def test_one_that_does_not_end_is_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edgekd.device.channel.LAST_WORDS_S", 0.5)
    with _channel("import time; time.sleep(99)") as channel:
        pass
    assert channel.exit_code == -9


def _answers(*frames: bytes) -> str:
    return (
        "import sys\n"
        f"for frame in {frames!r}:\n"
        "    sys.stdin.buffer.readline(); sys.stdout.buffer.write(frame); sys.stdout.flush()\n"
    )


def test_no_word_of_a_board_is_obeyed_by_a_terminal_or_a_workflow() -> None:
    answer = b'edgekd {"blobs": [], "failed": "X", "what": "a\\u001b[2J\\n::error::b"}\n'
    with _channel(_answers(answer)) as channel, pytest.raises(DeviceError) as caught:
        channel.ask("describe")
    assert caught.value.what == "a?[2J?::error::b"
    said = "import sys; sys.stderr.write('\\x1b]0;owned\\x07' + 'x' * 100_000); sys.exit(1)"
    with _channel(said) as channel, pytest.raises(DeviceError) as caught:
        channel.ask("describe")
    assert caught.value.what.isprintable()


@pytest.mark.parametrize(
    "found",
    [
        {},
        {"identity": 3},
        {"identity": {"cpu": 3}},
        {"identity": {"cpu": "", "cores": float("nan"), "isa": [], "os": "", "python": "", "more": 1}},
    ],
)
def test_a_board_that_says_nonsense_of_itself_is_no_bug(found) -> None:
    frame = b"edgekd " + json.dumps({"blobs": [], "done": found}).encode() + b"\n"
    with (
        _channel(_answers(frame)) as channel,
        pytest.raises(DeviceError, match="what it answers cannot be read"),
    ):
        RunnerConnection(channel)


IDENTITY = {"cpu": "", "cores": 1, "isa": [], "os": "", "python": "", "runtime_versions": {}}


@pytest.mark.parametrize("wrong", [np.nan, np.inf, 0.0, -1.0])
def test_times_that_no_clock_shows_are_refused(wrong, tmp_path: Path) -> None:
    times = np.ones((20, 3))
    times[1, 2] = wrong
    engine = {"warmup": 5, "opened_ms": [1.0, 1.0], "peak_bytes": 0}
    measured = {"engines": {"m": engine}, "before": {}, "after": {}, "cores": []}
    blob = pack({"0/0": np.ones((20, 3)), "0/1": times})

    class Board:
        device, lost = "board", False

        def ask(self, do, *_, **__):
            done = {
                "describe": {"identity": IDENTITY},
                "facts": {"version": "1.25.0", "saturates": False},
                "put": {},
                "measure": measured,
            }
            return done[do], {"times_ms": blob}

    model = tmp_path / "m.onnx"
    model.write_bytes(probe())
    connection = RunnerConnection(Board())
    with pytest.raises(DeviceError, match="what it answers cannot be read"):
        connection.measure({"m": BuiltModel(OnnxRuntimeTarget(), model)}, {"m": {}}, seed=0)
