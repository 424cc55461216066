import time

import pytest

from edgekd.board import fingerprint


def test_conditions_count_the_work_of_this_process_among_all():
    before = fingerprint.conditions()
    end = time.process_time() + 0.3
    while time.process_time() < end:
        pass
    after = fingerprint.conditions()
    assert after["used_s"] - before["used_s"] >= 0.25
    assert after["busy_s"] - before["busy_s"] >= 0.2  # by ticks of 10 ms
    assert after["at_s"] > before["at_s"]


@pytest.mark.parametrize(
    ("threads", "capacity", "busy", "cores"),
    [
        (1, "", {0: 9, 1: 3, 2: 5}, [1]),
        (2, "", {0: 9, 1: 3, 2: 5}, [1, 2]),
        (1, "1024", {0: 9, 1: 3, 2: 5}, [2]),
        (3, "", {}, []),
    ],
    ids=["quietest", "quietest two", "fastest first", "all of them"],
)
def test_quiet_cores_are_fast_and_idle(monkeypatch, threads, capacity, busy, cores):
    """Of three cores, the last may be a faster one."""
    monkeypatch.setattr(fingerprint.os, "sched_getaffinity", lambda _: {0, 1, 2})
    monkeypatch.setattr(fingerprint, "_busy_by_core", lambda seconds: busy)
    monkeypatch.setattr(fingerprint, "read_text", lambda path: capacity if "cpu2" in path else "")
    assert fingerprint.quiet_cores(threads) == cores
