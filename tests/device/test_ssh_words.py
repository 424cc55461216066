"""The words of OpenSSH 9, of shells and of Python, as they stand on standard error."""

import pytest

from edgekd.device.ssh_words import explain

SAID = {
    "ssh: connect to host board port 22: Connection timed out": "it cannot be reached",
    "ssh: connect to host board port 22: No route to host": "it cannot be reached",
    "Timeout, server board not responding.": "the connection was cut",
    "client_loop: send disconnect: Broken pipe": "the connection was cut",
    "kex_exchange_identification: Connection closed by remote host": "the connection was cut",
    "mkdir: cannot create directory '/tmp/edgekd.00': No space left on device": "is full",
    "mkdir: cannot create directory '/tmp/edgekd.00': Permission denied": "cannot be written",
    "OSError: [Errno 28] No space left on device": "is full",
    "sh: 1: python3: not found": "its Python is not found",
    "sh: python3: command not found": "its Python is not found",
    "sh: 1: /opt/python: Permission denied": "its Python cannot be run",
}


@pytest.mark.parametrize(("said", "meaning"), SAID.items())
def test_words_have_a_meaning_and_a_way_out(said, meaning) -> None:
    what, fix = explain(f"motd of the board\n{said}\n", 255)
    assert meaning in what
    assert said.split(":")[-1].strip() in what
    assert fix


def test_what_is_not_known_is_left_to_speak_for_itself() -> None:
    assert explain("the moon is full", 1) == ("", "")
    assert "was killed" in explain("", 137)[0]
