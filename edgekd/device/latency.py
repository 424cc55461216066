"""Latency of several engines, measured side by side so that their ratio means something.

A machine changes speed over seconds: clocks, neighbours, caches. Timing one engine after the other measures
that change too. Here every round visits every engine, in a fresh random order, and a verdict compares
rounds.
"""

import gc
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from edgekd.core.spec_base import Spec
from edgekd.core.statistics import bootstrap_ratio

MIN_REPEATS = 5
"""Timed inferences of one engine in one round, at least."""

SHORTEST_MS = 1e-3
"""Inferences shorter than this are taken for this long when a round is filled, which bounds their number."""


@dataclass(frozen=True)
class LatencySamples:
    """Every timed inference of one engine.

    Attributes:
        name: Name of the engine in the run that measured it.
        times_ms: Milliseconds per inference (rounds, repeats), float64.
        warmup: Untimed inferences before the first timed one.
    """

    name: str
    times_ms: NDArray[np.float64]
    warmup: int

    @property
    def p50_ms(self) -> float:
        """Half of the inferences were at most this long."""
        return float(np.percentile(self.times_ms, 50))

    @property
    def p90_ms(self) -> float:
        """Nine of ten inferences were at most this long."""
        return float(np.percentile(self.times_ms, 90))

    @property
    def p99_ms(self) -> float:
        """99 of 100 inferences were at most this long."""
        return float(np.percentile(self.times_ms, 99))

    @property
    def mean_ms(self) -> float:
        """Mean over all inferences."""
        return float(self.times_ms.mean())

    @property
    def min_ms(self) -> float:
        """The shortest inference."""
        return float(self.times_ms.min())

    @property
    def n(self) -> int:
        """Number of timed inferences."""
        return self.times_ms.size

    @property
    def round_p50_ms(self) -> NDArray[np.float64]:
        """Median of each round (rounds,), milliseconds."""
        return np.median(self.times_ms, axis=1)


class Speedup(Spec):
    """How many times faster a subject is than its reference.

    Attributes:
        ratio: p50 of the reference over p50 of the subject; above 1 the subject is faster.
        ci: Ends of the 95 % interval of ``ratio``.
        verdict: What the interval allows to say.
    """

    ratio: float
    ci: tuple[float, float]
    verdict: Literal["faster", "slower", "same", "inconclusive"]


def measure_interleaved(
    runs: Mapping[str, Callable[[], object]],
    *,
    rounds: int = 30,
    round_ms: float = 20.0,
    warmup_ms: float = 300.0,
    seed: int = 0,
    on_round: Callable[[int, int], None] | None = None,
) -> dict[str, LatencySamples]:
    """Time single inferences of several engines in interleaved rounds.

    Each engine warms up alone; the second half of its warm-up tells how many inferences fill ``round_ms`` (at
    least 5). Then each round visits every engine once, in a fresh random order. A visit starts with one
    untimed inference, which refills the caches that the engine before it emptied. The garbage collector
    rests meanwhile.

    The design is of fixed length: the numbers of rounds and repeats are set before the first timed
    inference, and nothing that was measured can extend or shorten the run. Stopping as soon as an interval
    looks good would make that interval too narrow; this way the interval of ``speedup`` stays valid.

    Args:
        runs: One callable per engine that runs one inference and returns when its result is there.
        rounds: Number of rounds.
        round_ms: Milliseconds that one engine gets in one round, about.
        warmup_ms: Milliseconds of warm-up per engine, at least; never fewer than 5 inferences.
        seed: Seed of the visiting orders.
        on_round: Called after each round with the rounds done and ``rounds``, outside the timed part.

    Returns:
        The samples of each engine, in the order of ``runs``.
    """
    with _garbage_collector_paused():
        warmups = {name: _warm_up(run, warmup_ms=warmup_ms) for name, run in runs.items()}
        times_ms = {
            name: np.empty((rounds, _repeats(warmup, round_ms=round_ms))) for name, warmup in warmups.items()
        }
        names, rng = list(runs), np.random.default_rng(seed)
        for done in range(rounds):
            for index in rng.permutation(len(names)):
                name = names[index]
                runs[name]()
                _time_into(times_ms[name][done], runs[name])
            if on_round is not None:
                on_round(done + 1, rounds)
    return {name: LatencySamples(name, times_ms[name], len(warmups[name])) for name in names}


def speedup(
    subject: LatencySamples, reference: LatencySamples, *, seed: int = 0, minimum_effect: float = 0.01
) -> Speedup:
    """Say whether ``subject`` is faster than ``reference``, both from one ``measure_interleaved``.

    The interval comes from ``bootstrap_ratio`` over paired rounds. ``same`` needs the whole interval within
    1 / (1 + minimum_effect) .. 1 + minimum_effect; otherwise ``faster`` needs all of it above 1 and
    ``slower`` all of it below 1; anything else is ``inconclusive``.

    Args:
        subject: Samples of the engine to judge.
        reference: Samples of the engine that it is compared with.
        seed: Seed of the bootstrap.
        minimum_effect: Smallest relative difference that matters, such as 0.01 for 1 %.

    Raises:
        DataError: If the two were not measured in the same two or more rounds.
    """
    ratio, low, high = bootstrap_ratio(reference.times_ms, subject.times_ms, seed=seed)
    verdict: Literal["faster", "slower", "same", "inconclusive"] = "inconclusive"
    if 1 / (1 + minimum_effect) <= low and high <= 1 + minimum_effect:
        verdict = "same"
    elif low > 1:
        verdict = "faster"
    elif high < 1:
        verdict = "slower"
    return Speedup(ratio=ratio, ci=(low, high), verdict=verdict)


def _warm_up(run: Callable[[], object], *, warmup_ms: float) -> list[float]:
    times_ms: list[float] = []
    one = np.empty(1)
    end = time.perf_counter() + warmup_ms / 1e3
    while len(times_ms) < MIN_REPEATS or time.perf_counter() < end:
        _time_into(one, run)
        times_ms.append(float(one[0]))
    return times_ms


def _repeats(warmup_ms: list[float], *, round_ms: float) -> int:
    settled_ms = float(np.median(warmup_ms[len(warmup_ms) // 2 :]))
    return max(MIN_REPEATS, round(round_ms / max(settled_ms, SHORTEST_MS)))


def _time_into(times_ms: NDArray[np.float64], run: Callable[[], object]) -> None:
    for i in range(len(times_ms)):
        start_ns = time.perf_counter_ns()
        run()
        times_ms[i] = (time.perf_counter_ns() - start_ns) / 1e6


@contextmanager
def _garbage_collector_paused() -> Iterator[None]:
    was_enabled = gc.isenabled()
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()
