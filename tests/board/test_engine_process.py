import os
import signal
import time
from pathlib import Path


def test_engine_process_times_what_the_child_runs(printed):
    code = """
@contextmanager
def engine():
    time.sleep(0.05)
    yield lambda: time.sleep(0.002)

with process(engine, cores=sorted(os.sched_getaffinity(0))[:1]) as child:
    warm, times = child.warm_up(6), child.times_ms(7)
    print(child.opened_ms >= 50, len(warm) >= 10, len(times), times.min() >= 2, times.dtype)
"""
    assert printed(code) == ["True True 7 True float64"]


def test_engine_process_passes_on_what_went_wrong(printed):
    code = """
@contextmanager
def refused():
    raise ValueError("no such\\noperator")
    yield

@contextmanager
def killed():
    yield lambda: os.kill(os.getpid(), 9)

for engine in (refused, killed):
    try:
        with process(engine) as child:
            child.times_ms(5)
    except EngineFailed as e:
        print(e)
"""
    assert printed(code) == ["mine: no such operator", "mine: its process died: killed, or out of memory"]


def test_engine_process_sees_planted_memory(printed):
    code = """
@contextmanager
def large():
    weights = np.ones(64 << 20, np.uint8)
    yield weights.any

@contextmanager
def small():
    yield time.perf_counter

for engine in (large, small):
    with process(engine) as child:
        child.times_ms(5)
        print(child.peak_bytes() >> 20)
"""
    large, small = map(int, printed(code))
    assert small <= 4
    assert 64 <= large <= 68


def test_engine_process_puts_an_engine_elsewhere_each_time(printed):
    code = """
@contextmanager
def engine():
    large, small = np.empty(1 << 22), np.empty(100)
    os.write(2, b"%d %d\\n" % (large.ctypes.data, small.ctypes.data))
    yield time.perf_counter

os.dup2(1, 2)
for seed in (0, 0, 1):
    with process(engine, seed):
        pass
"""
    first, again, other = (tuple(map(int, line.split())) for line in printed(code))
    assert first == again
    assert first[0] != other[0]
    assert first[1] != other[1]


def test_engine_processes_end_when_the_one_that_measures_is_killed(alone):
    code = """
@contextmanager
def engine():
    yield time.perf_counter

with process(engine) as first, process(engine) as second:
    print(first._pid, second._pid, flush=True)
    time.sleep(60)
"""
    with alone(code) as parent:
        children = list(map(int, parent.stdout.readline().split()))
        os.kill(parent.pid, signal.SIGKILL)
    end = time.monotonic() + 10
    while any(_runs(child) for child in children):
        assert time.monotonic() < end, "a child is left"
        time.sleep(0.02)


def _runs(process: int) -> bool:
    """Whether it is there and no zombie that waits to be collected."""
    try:
        status = Path(f"/proc/{process}/status").read_text()
    except FileNotFoundError:
        return False
    return "State:\tZ" not in status
