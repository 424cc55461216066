import os
import signal

import pytest

from edgekd.board.lock import LOCK_NAME, MachineBusy, machine_lock

HOLD = """
from edgekd.board.lock import machine_lock
with machine_lock(wait_s=0, folder=sys.argv[1]):
    print("held", flush=True)
    time.sleep(60)
"""


def test_machine_lock_is_held_by_one_process_and_freed_when_that_is_killed(alone, tmp_path):
    told: list[str] = []
    with alone(HOLD, str(tmp_path)) as other:
        assert other.stdout.readline() == "held\n"
        with (
            pytest.raises(MachineBusy, match="another measurement of this machine goes on"),
            machine_lock(wait_s=0.5, on_wait=lambda: told.append("waits"), folder=str(tmp_path)),
        ):
            pass
        assert told == ["waits"]  # once, however often it looked
        os.kill(other.pid, signal.SIGKILL)
    with machine_lock(wait_s=0, on_wait=lambda: told.append("waits"), folder=str(tmp_path)):
        assert told == ["waits"]


def test_machine_lock_waits_until_it_is_free(tmp_path):
    folder = str(tmp_path)
    first = machine_lock(wait_s=0, folder=folder)
    first.__enter__()
    with machine_lock(wait_s=10, on_wait=lambda: first.__exit__(None, None, None), folder=folder):
        pass


def test_machine_lock_takes_the_file_of_another_user(tmp_path):
    path = tmp_path / LOCK_NAME
    path.touch()
    path.chmod(0o444)
    with machine_lock(wait_s=0, folder=str(tmp_path)), pytest.raises(MachineBusy):
        machine_lock(wait_s=0, folder=str(tmp_path)).__enter__()


def test_machine_lock_follows_no_link(tmp_path):
    (tmp_path / LOCK_NAME).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(OSError, match=LOCK_NAME):
        machine_lock(wait_s=0, folder=str(tmp_path)).__enter__()
    assert not (tmp_path / "elsewhere").exists()


def test_machine_lock_does_not_wait_for_the_other_end_of_a_pipe(tmp_path):
    os.mkfifo(tmp_path / LOCK_NAME)
    with machine_lock(wait_s=0, folder=str(tmp_path)):
        pass
