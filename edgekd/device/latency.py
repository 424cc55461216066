"""Latency of several engines, measured side by side so that their ratio means something.

A machine changes speed over seconds: clocks, neighbours, caches. Timing one engine after the other measures
that change too. Here every round visits every engine, in a fresh random order.

One file opened twice does not give two equally fast engines: where its weights and buffers come to lie in
memory makes a per cent, and stays as long as the engine is open. So all engines are opened anew several
times, and a verdict compares these sessions: one session alone would call two copies of a file different.
"""

import gc
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from edgekd.core.spec_base import Spec
from edgekd.core.statistics import paired_ratio

Run = Callable[[], object]
"""Runs one inference and returns when its result is there."""

MIN_REPEATS = 5
"""Timed inferences of one engine in one round, at least."""

SHORTEST_MS = 1e-3
"""Inferences shorter than this are taken for this long when a round is filled, which bounds their number."""


@dataclass(frozen=True)
class LatencySamples:
    """Every timed inference of one engine.

    Attributes:
        name: Name of the engine in the run that measured it.
        times_ms: Milliseconds per inference (sessions, rounds, repeats), float64.
        warmup: Untimed inferences before the first timed one of a session, about.
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
        """Median of each round (sessions * rounds,), milliseconds."""
        return np.median(self.times_ms, axis=2).ravel()


class Speedup(Spec):
    """How many times faster a subject is than its reference.

    Attributes:
        ratio: p50 of the reference over p50 of the subject, the geometric mean over sessions; above 1 the
            subject is faster.
        ci: Ends of the 95 % interval of ``ratio``.
        verdict: What the interval allows to say.
    """

    ratio: float
    ci: tuple[float, float]
    verdict: Literal["faster", "slower", "same", "inconclusive"]


def measure_interleaved(
    engines: Mapping[str, Callable[[], AbstractContextManager[Run]]],
    *,
    sessions: int = 8,
    rounds: int = 5,
    round_ms: float = 20.0,
    warmup_ms: float = 75.0,
    seed: int = 0,
    on_round: Callable[[int, int], None] | None = None,
) -> dict[str, LatencySamples]:
    """Time single inferences of several engines in interleaved rounds of several sessions.

    A session opens every engine, in random order, and warms each up alone; the second half of the first
    warm-up tells how many inferences fill ``round_ms`` (at least 5). Then each round visits every engine
    once, in a fresh random order. A visit starts with one untimed inference, which refills the caches that
    the engine before it emptied. The garbage collector rests meanwhile.

    The design is of fixed length: the numbers of sessions, rounds and repeats are set before the first timed
    inference, and nothing that was measured can extend or shorten the run. Stopping as soon as an interval
    looks good would make that interval too narrow; this way the interval of ``speedup`` stays valid.

    Args:
        engines: By name, what opens an engine: the context gives a callable that runs one inference.
        sessions: How often all engines are opened; the interval of a ratio needs at least 2.
        rounds: Number of rounds of one session.
        round_ms: Milliseconds that one engine gets in one round, about.
        warmup_ms: Milliseconds of warm-up per engine and session, at least; never fewer than 5 inferences.
        seed: Seed of the orders.
        on_round: Called after each round with the rounds done and those of all sessions, outside of the timed
            part.

    Returns:
        The samples of each engine, in the order of ``engines``.
    """
    rng = np.random.default_rng(seed)
    found: dict[str, list[NDArray[np.float64]]] = {name: [] for name in engines}
    warmups: dict[str, list[float]] = {}
    for session in range(sessions):
        with _garbage_collector_paused(), ExitStack() as stack:
            runs = {name: stack.enter_context(engines[name]()) for name in _shuffled(engines, rng)}
            warm = {name: _warm_up(runs[name], warmup_ms=warmup_ms) for name in engines}
            warmups = warmups or warm
            for name in engines:
                found[name].append(np.empty((rounds, _repeats(warmups[name], round_ms=round_ms))))
            for done in range(rounds):
                for name in _shuffled(engines, rng):
                    runs[name]()
                    _time_into(found[name][-1][done], runs[name])
                if on_round is not None:
                    on_round(session * rounds + done + 1, sessions * rounds)
    return {name: LatencySamples(name, np.stack(found[name]), len(warmups[name])) for name in engines}


def speedup(subject: LatencySamples, reference: LatencySamples, *, minimum_effect: float = 0.01) -> Speedup:
    """Say whether ``subject`` is faster than ``reference``, both from one ``measure_interleaved``.

    The interval comes from ``paired_ratio`` over sessions. ``same`` needs the whole interval within
    1 / (1 + minimum_effect) .. 1 + minimum_effect; otherwise ``faster`` needs all of it above 1 and
    ``slower`` all of it below 1; anything else is ``inconclusive``.

    Args:
        subject: Samples of the engine to judge.
        reference: Samples of the engine that it is compared with.
        minimum_effect: Smallest relative difference that matters, such as 0.01 for 1 %.

    Raises:
        DataError: If the two were not measured in the same two or more sessions.
    """
    by_session = (samples.times_ms.reshape(len(samples.times_ms), -1) for samples in (reference, subject))
    ratio, low, high = paired_ratio(*by_session)
    verdict: Literal["faster", "slower", "same", "inconclusive"] = "inconclusive"
    if 1 / (1 + minimum_effect) <= low and high <= 1 + minimum_effect:
        verdict = "same"
    elif low > 1:
        verdict = "faster"
    elif high < 1:
        verdict = "slower"
    return Speedup(ratio=ratio, ci=(low, high), verdict=verdict)


def _shuffled(names: Iterable[str], rng: np.random.Generator) -> list[str]:
    ordered = list(names)
    return [ordered[index] for index in rng.permutation(len(ordered))]


def _warm_up(run: Run, *, warmup_ms: float) -> list[float]:
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


def _time_into(times_ms: NDArray[np.float64], run: Run) -> None:
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
