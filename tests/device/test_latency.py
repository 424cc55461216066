import gc
import time
from collections import Counter
from collections.abc import Callable

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


def _samples(times_ms: np.ndarray) -> LatencySamples:
    return LatencySamples("engine", times_ms, warmup=0)


def test_measure_interleaved_finds_a_planted_ratio():
    samples = measure_interleaved(
        {"slow": _busy(0.65), "fast": _busy(0.5)}, rounds=15, round_ms=10, warmup_ms=20
    )
    found = speedup(samples["fast"], samples["slow"])
    assert found.verdict == "faster"
    assert found.ratio == pytest.approx(1.3, abs=0.06)
    assert found.ci[0] <= found.ratio <= found.ci[1]
    assert speedup(samples["slow"], samples["fast"]).verdict == "slower"


def test_measure_interleaved_finds_no_large_difference_when_both_are_one_function():
    run = _busy(0.3)
    samples = measure_interleaved({"a": run, "b": run}, rounds=15, round_ms=5, warmup_ms=10)
    assert speedup(samples["a"], samples["b"]).ratio == pytest.approx(1, abs=0.05)


def test_measure_interleaved_fills_rounds_by_time_with_at_least_five_repeats():
    samples = measure_interleaved({"short": _busy(0.2), "long": _busy(4)}, rounds=3, round_ms=8, warmup_ms=10)
    assert samples["long"].times_ms.shape == (3, 5)
    assert samples["short"].times_ms.shape[0] == 3
    assert 20 <= samples["short"].times_ms.shape[1] <= 40
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

    runs = {name: run(name) for name in "abc"}
    measure_interleaved(runs, rounds=12, round_ms=0.01, warmup_ms=0, on_round=on_round)
    assert [sorted(order) for order in rounds_seen[1:]] == [["a", "b", "c"]] * 11
    assert len(Counter(map(tuple, rounds_seen[1:]))) > 2


def test_measure_interleaved_pauses_the_garbage_collector_and_restores_it_when_a_run_fails():
    seen: list[bool] = []

    def run() -> None:
        seen.append(gc.isenabled())
        if len(seen) > 20:
            raise RuntimeError

    with pytest.raises(RuntimeError):
        measure_interleaved({"run": run}, rounds=50, round_ms=0, warmup_ms=0)
    assert not any(seen)
    assert gc.isenabled()


def test_latency_samples_tell_percentiles_over_all_rounds():
    samples = _samples(np.arange(101, dtype=np.float64)[None, :].repeat(2, axis=0))
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
    rng = np.random.default_rng(0)
    reference = _samples(rng.normal(reference_ms, spread, (20, 1)).repeat(5, axis=1))
    subject = _samples(rng.normal(1.0, spread, (20, 1)).repeat(5, axis=1))
    assert speedup(subject, reference).verdict == verdict


def test_speedup_refuses_samples_of_different_runs():
    with pytest.raises(DataError, match="cannot pair rounds"):
        speedup(_samples(np.ones((3, 5))), _samples(np.ones((4, 5))))
