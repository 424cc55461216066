import gc
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from functools import partial
from typing import Any

import numpy as np
import pytest

from edgekd.device.latency import LatencySamples, measure_interleaved, speedup
from edgekd.errors import DataError


def _busy(ms: float) -> Callable[[], None]:
    def run() -> None:
        end_ns = time.perf_counter_ns() + ms * 1e6
        while time.perf_counter_ns() < end_ns:
            pass

    return run


def _opened(runs: dict[str, Callable[[], object]]) -> dict[str, Any]:
    return {name: partial(nullcontext, run) for name, run in runs.items()}


def _samples(times_ms: np.ndarray) -> LatencySamples:
    return LatencySamples("engine", times_ms, warmup=0)


def test_measure_interleaved_finds_a_planted_ratio():
    samples = measure_interleaved(
        _opened({"slow": _busy(0.65), "fast": _busy(0.5)}), sessions=5, rounds=3, round_ms=10, warmup_ms=5
    )
    found = speedup(samples["fast"], samples["slow"])
    assert found.verdict == "faster"
    assert found.ratio == pytest.approx(1.3, abs=0.06)
    assert found.ci[0] <= found.ratio <= found.ci[1]
    assert speedup(samples["slow"], samples["fast"]).verdict == "slower"


def test_measure_interleaved_finds_no_large_difference_when_both_are_one_function():
    run = _busy(0.3)
    samples = measure_interleaved(
        _opened({"a": run, "b": run}), sessions=5, rounds=3, round_ms=5, warmup_ms=5
    )
    assert speedup(samples["a"], samples["b"]).ratio == pytest.approx(1, abs=0.05)


def test_measure_interleaved_fills_rounds_by_time_with_at_least_five_repeats():
    engines = _opened({"short": _busy(0.2), "long": _busy(4)})
    samples = measure_interleaved(engines, sessions=2, rounds=3, round_ms=8, warmup_ms=10)
    assert samples["long"].times_ms.shape == (2, 3, 5)
    assert samples["short"].times_ms.shape[:2] == (2, 3)
    assert 20 <= samples["short"].times_ms.shape[2] <= 40
    assert samples["short"].n == samples["short"].times_ms.size
    assert samples["long"].warmup == 5


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

    engines = _opened({name: run(name) for name in "abc"})
    measure_interleaved(engines, sessions=1, rounds=12, round_ms=0.01, warmup_ms=0, on_round=on_round)
    assert [sorted(order) for order in rounds_seen[1:]] == [["a", "b", "c"]] * 11
    assert len(Counter(map(tuple, rounds_seen[1:]))) > 2


def test_measure_interleaved_pauses_the_garbage_collector_and_restores_it_when_a_run_fails():
    seen: list[bool] = []

    def run() -> None:
        seen.append(gc.isenabled())
        if len(seen) > 20:
            raise RuntimeError

    with pytest.raises(RuntimeError):
        measure_interleaved(_opened({"run": run}), rounds=50, round_ms=0, warmup_ms=0)
    assert not any(seen)
    assert gc.isenabled()


def test_latency_samples_tell_percentiles_over_all_rounds():
    samples = _samples(np.arange(101, dtype=np.float64)[None, None, :].repeat(2, axis=1))
    assert (samples.p50_ms, samples.p90_ms, samples.p99_ms) == (50, 90, 99)
    assert (samples.mean_ms, samples.min_ms, samples.n) == (50, 0, 202)
    assert samples.round_p50_ms.tolist() == [50, 50]


@pytest.mark.parametrize(
    ("reference_ms", "spread", "verdict"),
    [
        (1.3, 0.001, "faster"),
        (0.7, 0.001, "slower"),
        (1.0, 0.001, "same"),
        (1.004, 0.001, "same"),
        (1.0, 0.2, "inconclusive"),
        (1.02, 0.001, "faster"),
    ],
)
def test_speedup_says_what_the_interval_allows(reference_ms: float, spread: float, verdict: str):
    rng = np.random.default_rng(1)
    reference = _samples(rng.normal(reference_ms, spread, (8, 1, 1)).repeat(5, axis=2))
    subject = _samples(rng.normal(1.0, spread, (8, 1, 1)).repeat(5, axis=2))
    assert speedup(subject, reference).verdict == verdict


def test_speedup_refuses_samples_of_different_runs():
    with pytest.raises(DataError, match="cannot pair repeats"):
        speedup(_samples(np.ones((3, 2, 5))), _samples(np.ones((4, 2, 5))))


def test_speedup_does_not_call_two_copies_of_an_engine_different():
    """Each opening makes a copy up to a few per cent faster or slower, for all rounds of its session."""
    wrong = 0
    for seed in range(200):
        rng = np.random.default_rng(seed)
        copies = [
            _samples(np.exp(rng.normal(0, 0.02, (8, 1, 1)) + rng.normal(0, 0.01, (8, 5, 9))))
            for _ in range(2)
        ]
        wrong += speedup(*copies).verdict in ("faster", "slower")
    assert wrong <= 20  # 5 % of 200, and what chance adds


def test_measure_interleaved_opens_every_engine_anew_in_each_session():
    opened: list[str] = []
    closed: list[str] = []

    @contextmanager
    def engine(name: str) -> Iterator[Callable[[], object]]:
        assert len(opened) - len(closed) < 2
        opened.append(name)
        yield lambda: None
        closed.append(name)

    measure_interleaved(
        {name: partial(engine, name) for name in "ab"}, sessions=6, rounds=1, round_ms=0, warmup_ms=0
    )
    assert Counter(opened) == Counter(closed) == {"a": 6, "b": 6}
    assert len({tuple(opened[i : i + 2]) for i in range(0, 12, 2)}) == 2  # in either order
