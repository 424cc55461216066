import pytest

from edgekd.core import progress as progress_module
from edgekd.core.progress import note, progress


def test_progress_writes_one_line_at_the_end_when_stderr_is_no_terminal(capsys: pytest.CaptureFixture[str]):
    with progress("training", total=100) as advance:
        for step in range(100):
            advance(loss=1 / (step + 1))
    captured = capsys.readouterr()
    assert captured.err == "training: 100/100 in 0:00:00  loss 0.01\n"
    assert captured.out == ""


def test_progress_tells_the_time_left_when_the_interval_has_passed(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(progress_module, "LOG_INTERVAL_S", 0.0)
    with progress("training", total=4) as advance:
        advance(1, loss=0.5)
        advance(3)
    lines = capsys.readouterr().err.splitlines()
    assert lines == ["training: 1/4 in 0:00:00, 0:00:00 left  loss 0.5", "training: 4/4 in 0:00:00  loss 0.5"]


def test_progress_says_how_far_it_came_when_interrupted(capsys: pytest.CaptureFixture[str]):
    with pytest.raises(KeyboardInterrupt), progress("training", total=10) as advance:
        advance(3)
        raise KeyboardInterrupt
    assert capsys.readouterr().err.startswith("training: 3/10")


def test_progress_follows_a_total_that_changes(capsys: pytest.CaptureFixture[str]):
    with progress("measuring", total=2) as advance:
        advance(2)
        advance(1, total=5)
        advance(2)
    assert capsys.readouterr().err.startswith("measuring: 5/5")


def test_progress_is_silent_when_switched_off(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("EDGEKD_PROGRESS", "off")
    with progress("training", total=2) as advance:
        advance(2, loss=0.5, total=3)
        note("nothing")
    assert capsys.readouterr().err == ""


def test_progress_draws_a_bar_when_stderr_is_a_terminal(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "100")
    with progress("training [x]", total=10) as advance:
        advance(3, top1=0.91234)
        note("another one is waited for")
        advance(1, total=12)
    drawn = capsys.readouterr().err
    assert "training [x]" in drawn
    assert "another one is waited for" in drawn
    assert "4/12" in drawn
    assert "top1 0.9123" in drawn
