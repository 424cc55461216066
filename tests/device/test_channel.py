"""What a host does with a runner that says something else, nothing, or is not there."""

import sys
import time

import pytest

from edgekd.device.channel import Channel
from edgekd.errors import DeviceError


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
