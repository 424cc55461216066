import gc
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from functools import partial
from itertools import cycle, repeat
from typing import Any

import numpy as np
import pytest

from edgekd.board.rounds import Design, Measured, measure_interleaved, sessions_needed, student_quantile


def _busy(ms: float) -> Callable[[], None]:
    def run() -> None:
        end_ns = time.perf_counter_ns() + ms * 1e6
        while time.perf_counter_ns() < end_ns:
            pass

    return run


def _opened(runs: dict[str, Callable[[], object]]) -> dict[str, Any]:
    return {name: partial(nullcontext, run) for name, run in runs.items()}


def test_measure_interleaved_fills_rounds_by_time():
    engines = _opened({"short": _busy(0.2), "long": _busy(4)})
    found = measure_interleaved(
        engines, design=Design(sessions=2, rounds=3, round_ms=8, warmup_ms=10), isolated=False
    )
    long, short = found["long"], found["short"]
    assert np.stack(long.rounds_ms).shape[:2] == (2, 3)
    assert 1 <= long.rounds_ms[0].shape[1] <= 2
    assert np.stack(short.rounds_ms).shape[:2] == (2, 3)
    assert 5 * long.rounds_ms[0].shape[1] <= short.rounds_ms[0].shape[1] <= 40
    assert long.warmup >= 10  # in two parts, at least five inferences each
    assert len(long.opened_ms) == 2


def test_measure_interleaved_visits_every_engine_in_changing_order():
    visits: list[str] = []
    rounds_seen: list[list[str]] = []

    def on_round(done: int, total: int) -> None:
        assert total == 12
        rounds_seen.append(list(dict.fromkeys(visits)))
        visits.clear()
        assert done == len(rounds_seen)

    def run(name: str) -> Callable[[], None]:
        return lambda: visits.append(name)

    design = Design(sessions=1, rounds=12, round_ms=0.01, warmup_ms=0)
    engines = _opened({name: run(name) for name in "abc"})
    measure_interleaved(engines, design=design, isolated=False, on_round=on_round)
    assert [sorted(order) for order in rounds_seen[1:]] == [["a", "b", "c"]] * 11
    assert len(Counter(map(tuple, rounds_seen[1:]))) > 2


def test_measure_interleaved_pauses_the_garbage_collector_and_restores_it_when_a_run_fails():
    timed: list[bool] = []

    def run() -> None:
        timed.append(gc.isenabled())
        if len(timed) > 30:
            raise RuntimeError

    with pytest.raises(RuntimeError):
        measure_interleaved(
            _opened({"run": run}), design=Design(rounds=50, round_ms=0, warmup_ms=0), isolated=False
        )
    assert all(timed[:10])  # the warm-up
    assert not any(timed[10:])
    assert gc.isenabled()


def test_measure_interleaved_opens_every_engine_anew_in_each_session():
    opened: list[str] = []
    closed: list[str] = []

    @contextmanager
    def engine(name: str) -> Iterator[Callable[[], object]]:
        assert len(opened) - len(closed) < 2
        opened.append(name)
        yield lambda: None
        closed.append(name)

    engines = {name: partial(engine, name) for name in "ab"}
    measure_interleaved(engines, design=Design(sessions=6, rounds=1, round_ms=0, warmup_ms=0), isolated=False)
    assert Counter(opened) == Counter(closed) == {"a": 6, "b": 6}
    assert len({tuple(opened[i : i + 2]) for i in range(0, 12, 2)}) == 2  # in either order


def _pilot(logs: list[float]) -> dict[str, Measured]:
    """Return a subject of 1 ms and a reference whose log ratios to it are ``logs``, one round a session."""
    return {
        "subject": Measured(rounds_ms=[np.ones((1, 5)) for _ in logs]),
        "reference": Measured(rounds_ms=[np.full((1, 5), np.exp(log)) for log in logs]),
    }


# Log ratios 0.00, 0.02, 0.00, 0.02: mean 0.01, deviation sqrt(4 * 0.01^2 / 3) = 0.0115470. Student's t with 3
# degrees of freedom holds 99 % within 5.840909. For a half width of log(1.01) = 0.00995033:
#   (5.840909 * 0.0115470 / 0.00995033)^2 = 6.778155^2 = 45.94, so 46 sessions
# and of log(1.05) = 0.04879016: 1.3823569^2 = 1.91, fewer than the 4 of the pilot.
@pytest.mark.parametrize(
    ("precision", "budget_s", "sessions"),
    [(0.01, 100.0, 46), (0.01, 20.0, 40), (0.01, 1.0, 4), (0.05, 100.0, 4)],
)
def test_sessions_needed_follows_stein_by_hand(precision: float, budget_s: float, sessions: int):
    design = Design(sessions=4, rounds=1, precision=precision, budget_s=budget_s)
    assert sessions_needed(_pilot([0.0, 0.02, 0.0, 0.02]), design, session_s=0.5) == sessions


def test_sessions_needed_follows_the_widest_of_several_ratios():
    found = _pilot([0.0, 0.02, 0.0, 0.02])
    found = {"subject": found["subject"], "steady": found["subject"], "reference": found["reference"]}
    assert sessions_needed(found, Design(sessions=4, budget_s=100), session_s=0.5) == 46


def test_measure_interleaved_tells_a_new_total_after_the_pilot():
    told: list[tuple[int, int]] = []

    @contextmanager
    def engine(ms: Iterator[float]) -> Iterator[Callable[[], object]]:
        yield _busy(next(ms))

    design = Design(sessions=3, rounds=1, round_ms=0, warmup_ms=0, precision=10, budget_s=100)
    found = measure_interleaved(
        {"a": partial(engine, repeat(0.1)), "b": partial(engine, cycle([0.1, 0.3]))},
        design=design,
        isolated=False,
        on_round=lambda done, total: told.append((done, total)),
    )
    planned = told[-1][1]
    assert told[:3] == [(1, 3), (2, 3), (3, 3)]
    assert planned > 3
    assert told[3:] == [(done, planned) for done in range(4, planned + 1)]
    assert len(found["a"].rounds_ms) == len(found["b"].opened_ms) == planned


@pytest.mark.parametrize(
    ("degrees", "confidence", "t"),
    [(1, 0.95, 12.7062), (3, 0.99, 5.8409), (4, 0.99, 4.6041), (7, 0.95, 2.3646)],
)
def test_student_quantile_matches_the_tables(degrees: int, confidence: float, t: float):
    assert student_quantile(degrees, confidence) == pytest.approx(t, abs=5e-5)
