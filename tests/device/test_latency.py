import time
from collections.abc import Callable
from contextlib import nullcontext
from functools import partial

import numpy as np
import pytest

from edgekd.board.rounds import Design
from edgekd.device.latency import LatencySamples, measure_here, speedup
from edgekd.errors import DataError


def _samples(times_ms: np.ndarray) -> LatencySamples:
    return LatencySamples("engine", times_ms, warmup=0)


def _busy(ms: float) -> Callable[[], None]:
    def run() -> None:
        end_ns = time.perf_counter_ns() + ms * 1e6
        while time.perf_counter_ns() < end_ns:
            pass

    return run


def test_measure_here_finds_a_planted_ratio():
    engines = {name: partial(nullcontext, _busy(ms)) for name, ms in (("slow", 0.65), ("fast", 0.5))}
    samples = measure_here(engines, design=Design(sessions=6, rounds=3, round_ms=10, warmup_ms=5))
    found = speedup(samples["fast"], samples["slow"])
    assert found.verdict == "faster"
    assert found.ratio == pytest.approx(1.3, abs=0.06)
    assert found.ci[0] <= found.ratio <= found.ci[1]
    assert speedup(samples["slow"], samples["fast"]).verdict == "slower"


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
    with pytest.raises(DataError, match="cannot pair"):
        speedup(_samples(np.ones((3, 2, 5))), _samples(np.ones((4, 2, 5))))


def test_speedup_does_not_call_two_copies_of_an_engine_different():
    """Each opening makes a copy up to a few per cent faster or slower, for all rounds of its session."""
    wrong = 0
    for seed in range(400):
        rng = np.random.default_rng(seed)
        copies = [
            _samples(np.exp(rng.normal(0, 0.02, (8, 1, 1)) + rng.normal(0, 0.01, (8, 5, 9))))
            for _ in range(2)
        ]
        wrong += speedup(*copies).verdict in ("faster", "slower")
    assert wrong <= 9  # 1 % of 400, and what chance adds
