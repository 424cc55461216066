import os
import signal
import stat
import tempfile
from pathlib import Path

import pytest

from edgekd.board.lock import FOLDER_VARIABLE, LOCK_NAME, MachineBusy, machine_lock, shared_folder

HOLD = """
from edgekd.board.lock import machine_lock
with machine_lock(wait_s=0):
    print("held", flush=True)
    time.sleep(60)
"""


@pytest.fixture(autouse=True)
def _own_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv(FOLDER_VARIABLE, str(tmp_path))


def test_machine_lock_is_held_by_one_process_and_freed_when_that_is_killed(alone, monkeypatch, tmp_path):
    told: list[str] = []
    with alone(HOLD) as other:
        assert other.stdout.readline() == "held\n"
        monkeypatch.setenv("TMPDIR", str(tmp_path / "elsewhere"))  # which makes no difference
        with (
            pytest.raises(MachineBusy, match="another measurement of this machine goes on"),
            machine_lock(wait_s=0.5, on_wait=lambda: told.append("waits")),
        ):
            pass
        assert told == ["waits"]  # once, however often it looked
        os.kill(other.pid, signal.SIGKILL)
    with machine_lock(wait_s=0, on_wait=lambda: told.append("waits")):
        assert told == ["waits"]


def test_machine_lock_waits_until_it_is_free():
    first = machine_lock(wait_s=0)
    first.__enter__()
    with machine_lock(wait_s=10, on_wait=lambda: first.__exit__(None, None, None)):
        pass


def test_machine_lock_takes_the_file_of_another_user(tmp_path):
    path = tmp_path / LOCK_NAME
    path.touch()
    path.chmod(0o444)
    with machine_lock(wait_s=0), pytest.raises(MachineBusy):
        machine_lock(wait_s=0).__enter__()


def test_machine_lock_follows_no_link(tmp_path):
    (tmp_path / LOCK_NAME).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(OSError, match=LOCK_NAME):
        machine_lock(wait_s=0).__enter__()
    assert not (tmp_path / "elsewhere").exists()


@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir])
def test_machine_lock_is_a_file_and_does_not_wait_for_the_other_end_of_a_pipe(tmp_path, make):
    make(tmp_path / LOCK_NAME)
    with pytest.raises(OSError, match="remove it") as caught, machine_lock(wait_s=0):
        pass
    assert caught.value.filename == str(tmp_path / LOCK_NAME)


def test_machine_lock_is_for_all_users_whatever_the_umask(tmp_path):
    before = os.umask(0o077)
    try:
        with machine_lock(wait_s=0):
            assert stat.S_IMODE((tmp_path / LOCK_NAME).stat().st_mode) == 0o666
    finally:
        os.umask(before)


def test_shared_folder_is_the_first_that_everybody_can_write(tmp_path):
    own, shared, later = (tmp_path / name for name in ("own", "shared", "later"))
    for folder, mode in ((own, 0o755), (shared, 0o1777), (later, 0o1777)):
        folder.mkdir()
        folder.chmod(mode)
    folders = tuple(map(str, (tmp_path / "none", own, shared, later)))
    assert shared_folder(folders) == str(shared)
    assert shared_folder(folders[:2]) == tempfile.gettempdir()
