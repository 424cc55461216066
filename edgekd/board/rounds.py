"""Latency of several engines, measured side by side so that their ratio means something.

A machine changes speed from one moment to the next: clocks, neighbours, caches. Timing one engine after the
other measures that change too. Here every round visits every engine for a few milliseconds, in a fresh random
order.

One file opened twice does not give two equally fast engines: where its weights and buffers come to lie in
memory makes a per cent, and stays as long as the engine is open. So a session opens all engines anew, each in
a process of its own that begins with a random amount of other memory, and a verdict compares sessions.

What a session says of two engines is one number: of each round, the ratio of the two medians; of these
ratios, the median. What slowed a whole round down, another process for example, slowed both; a round in which
it hit one of them only is outvoted. On two cores with a load of ten this spreads over sessions by 1.0 to
1.3 %, the ratio of the medians of whole sessions by 1.5 to 2.0 %; both are unbiased.

How many sessions follows Stein's two stages: a pilot of fixed length, whose spread alone says how many more
an interval of the width asked for needs, as far as the budget allows. Nothing measured later stops or
extends the run: stopping as soon as an interval looks good would make that interval too narrow. Student's
interval wants normal sessions, and some lie far off. That makes it wider, not wrong: drawn from 696 ratios of
sessions measured under that load, 0.6 % of the 99 % intervals of 8 sessions missed, and 0.2 % of longer runs.

Source:
    Stein 1945, "A two-sample test for a linear hypothesis whose power is independent of the variance", Ann.
    Math. Stat. 16. Layout: Curtsinger & Berger 2013, "Stabilizer", ASPLOS.
"""

from __future__ import annotations

import math
import time
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

from edgekd.board.engine_process import EngineProcess
from edgekd.board.visits import InProcess

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from numpy.typing import NDArray

    from edgekd.board.visits import Opener, Visited

SHORTEST_MS = 1e-3
"""Inferences shorter than this are taken for this long when a round is filled, which bounds their number."""

CONFIDENCE = 0.99
"""Of the interval of a ratio. A verdict may stop a merge: it errs once in a hundred times, not in twenty."""


@dataclass(frozen=True)
class Design:
    """How long is measured.

    Attributes:
        sessions: Of the pilot: how often all engines are opened at least; 2 or more for an interval.
        rounds: Of one session.
        round_ms: Milliseconds that one engine gets in one round, about; one timed inference at least.
        warmup_ms: Milliseconds of warm-up per engine and session, at least.
        precision: Half width of the interval of the first engine's ratio to each other that is asked for,
            as a fraction, such as 0.01.
        budget_s: Seconds after which no further session begins; the pilot is always completed.
    """

    sessions: int = 8
    rounds: int = 20
    round_ms: float = 5.0
    warmup_ms: float = 75.0
    precision: float = 0.01
    budget_s: float = 0.0


STANDARD = Design()
"""Eight sessions and no more."""


@dataclass
class Measured:
    """What was measured of one engine.

    Attributes:
        rounds_ms: Milliseconds per inference, one array (rounds, repeats) for each session.
        warmup: Untimed inferences before the first timed one of the first session.
        opened_ms: Milliseconds that opening it took, by session.
        peak_bytes: Largest memory that a session added to its process; 0 if the system does not say.
    """

    rounds_ms: list[NDArray[np.float64]] = field(default_factory=list)
    warmup: int = 0
    opened_ms: list[float] = field(default_factory=list)
    peak_bytes: int = 0


def measure_interleaved(
    engines: Mapping[str, Opener],
    *,
    design: Design = STANDARD,
    seed: int = 0,
    cores: Iterable[int] = (),
    isolated: bool = True,
    on_round: Callable[[int, int], None] | None = None,
) -> dict[str, Measured]:
    """Time single inferences of several engines in interleaved rounds of several sessions.

    A session opens every engine, in random order, and warms each up alone until it gets no faster. Then each
    round visits every engine once, in a fresh random order. A visit starts with one untimed inference, which
    refills the caches that the engine before it emptied.

    Args:
        engines: By name, what opens an engine: the context gives a callable that runs one inference. The
            first is the one that the others are compared with.
        design: How long.
        seed: Of the orders and of the memory layout.
        cores: Cores that an engine's process may use; empty leaves it to the system.
        isolated: Whether each engine gets a process of its own. This process forks: it should have no other
            thread and no engine open.
        on_round: Called after each round with the rounds done and those planned.

    Returns:
        What was measured of each engine, in the order of ``engines``.
    """
    rng = np.random.default_rng(seed)
    found = {name: Measured() for name in engines}
    repeats: dict[str, int] = {}
    begun, sessions, done = time.monotonic(), design.sessions, 0

    def tell(rounds: int) -> None:
        if on_round is not None:
            on_round(done * design.rounds + rounds, sessions * design.rounds)

    while done < sessions:
        with ExitStack() as stack:
            visited: dict[str, Visited] = {}
            for name in _shuffled(engines, rng):
                engine = engines[name]
                visited[name] = EngineProcess(name, engine, rng, cores) if isolated else InProcess(engine)
                stack.enter_context(visited[name])
            _warm_up(visited, found, repeats, design)
            _visit(visited, found, repeats, rng, rounds=design.rounds, tell=tell)
        done += 1
        if done == design.sessions:
            sessions = sessions_needed(found, design, session_s=(time.monotonic() - begun) / done)
    return found


def _warm_up(
    visited: Mapping[str, Visited], found: Mapping[str, Measured], repeats: dict[str, int], design: Design
) -> None:
    for name in found:
        warm = visited[name].warm_up(design.warmup_ms)
        if name not in repeats:
            settled_ms = float(np.median(warm[len(warm) // 2 :]))
            repeats[name] = max(1, round(design.round_ms / max(settled_ms, SHORTEST_MS)))
            found[name].warmup = len(warm)


def _visit(
    visited: Mapping[str, Visited],
    found: Mapping[str, Measured],
    repeats: Mapping[str, int],
    rng: np.random.Generator,
    *,
    rounds: int,
    tell: Callable[[int], None],
) -> None:
    times: dict[str, list[NDArray[np.float64]]] = {name: [] for name in found}
    for index in range(rounds):
        for name in _shuffled(found, rng):
            times[name].append(visited[name].times_ms(repeats[name]))
        tell(index + 1)
    for name, one in found.items():
        one.rounds_ms.append(np.stack(times[name]))
        one.opened_ms.append(visited[name].opened_ms)
        one.peak_bytes = max(one.peak_bytes, visited[name].peak_bytes())


def sessions_needed(found: Mapping[str, Measured], design: Design, *, session_s: float) -> int:
    """Return how many sessions the pilot's spread asks for, as far as the budget allows.

    Args:
        found: What the pilot measured.
        design: What is asked for.
        session_s: Seconds that a session takes.
    """
    affordable = int(design.budget_s / session_s)
    if affordable <= design.sessions or design.sessions < 2 or len(found) < 2:
        return design.sessions
    first, *others = (np.stack(one.rounds_ms) for one in found.values())
    spread = max(float(session_ratios(other, first).std(ddof=1)) for other in others)
    t = student_quantile(design.sessions - 1, CONFIDENCE)
    needed = math.ceil((t * spread / math.log1p(design.precision)) ** 2)
    return min(max(needed, design.sessions), affordable)


def session_ratios(numerator_ms: NDArray[Any], denominator_ms: NDArray[Any]) -> NDArray[np.float64]:
    """Return the logarithm of what each session says of the ratio of two engines' times, (sessions,).

    Args:
        numerator_ms: Times (sessions, rounds, repeats), and
        denominator_ms: times in the same sessions and rounds; the repeats may differ.
    """
    by_round = np.log(np.median(numerator_ms, axis=2) / np.median(denominator_ms, axis=2))
    ratios: NDArray[np.float64] = np.median(by_round, axis=1)
    return ratios


@lru_cache(maxsize=None)
def student_quantile(degrees: int, confidence: float) -> float:
    """Return the t that holds ``confidence`` of Student's distribution within -t..t.

    With t = sqrt(degrees) * tan(a), the density over the angle a is proportional to cos(a)^(degrees - 1),
    which is summed over a fine grid.

    Args:
        degrees: Degrees of freedom, at least 1.
        confidence: Between 0 and 1.

    Example:
        >>> [round(student_quantile(n, 0.95), 3) for n in (1, 7, 30)]
        [12.706, 2.365, 2.042]
    """
    angles = np.linspace(0, np.pi / 2, 100_001)
    density = np.cos(angles) ** (degrees - 1)
    mass = np.concatenate([[0.0], np.cumsum(density[1:] + density[:-1])])
    return float(np.sqrt(degrees) * np.tan(np.interp(confidence * mass[-1], mass, angles)))


def _shuffled(names: Iterable[str], rng: np.random.Generator) -> list[str]:
    ordered = list(names)
    return [ordered[index] for index in rng.permutation(len(ordered))]
