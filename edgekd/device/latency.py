"""What was measured of engines side by side, and what it allows to say."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from edgekd.board.rounds import CONFIDENCE, STANDARD, Design, measure_interleaved
from edgekd.board.visits import Opener
from edgekd.core.spec_base import Spec
from edgekd.core.statistics import paired_ratio

Verdict = Literal["faster", "slower", "same", "inconclusive"]


@dataclass(frozen=True)
class LatencySamples:
    """Every timed inference of one engine.

    Attributes:
        name: Name of the engine in the run that measured it.
        times_ms: Milliseconds per inference (sessions, rounds, repeats), float64.
        warmup: Untimed inferences before the first timed one of a session, about.
        pilot: Sessions whose spread decided how many there are.
        opened_ms: Milliseconds that opening the engine took, by session.
        peak_bytes: Largest memory that a session added to its process; 0 where that is not known.
    """

    name: str
    times_ms: NDArray[np.float64]
    warmup: int
    pilot: int | None = None
    opened_ms: Sequence[float] = ()
    peak_bytes: int = 0

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
    def figures(self) -> dict[str, Any]:
        """What a report says of them, by the names of its fields: times in ms, memory in bytes."""
        return {
            "p50": self.p50_ms,
            "p90": self.p90_ms,
            "p99": self.p99_ms,
            "mean": self.mean_ms,
            "min": self.min_ms,
            "n": self.n,
            "warmup": self.warmup,
            "open_ms": float(np.median(self.opened_ms)) if self.opened_ms else None,
            "peak_memory_bytes": self.peak_bytes or None,
        }

    @property
    def round_p50_ms(self) -> NDArray[np.float64]:
        """Median of each round (sessions * rounds,), milliseconds."""
        return np.median(self.times_ms, axis=2).ravel()


@dataclass(frozen=True)
class Measurement:
    """Engines that were timed side by side, and under which conditions.

    Attributes:
        samples: By name.
        doubts: What makes the numbers doubtful, each a sentence; empty if nothing was seen.
        before: State of the machine before, as `edgekd.board.fingerprint.conditions` tells it, and
        after: afterwards.
        cores: Cores that the engines' processes were confined to; empty if they were not.
    """

    samples: dict[str, LatencySamples]
    doubts: tuple[str, ...] = ()
    before: Mapping[str, Any] = field(default_factory=dict)
    after: Mapping[str, Any] = field(default_factory=dict)
    cores: tuple[int, ...] = ()


class Speedup(Spec):
    """How many times faster a subject is than its reference.

    Attributes:
        ratio: Time of the reference over time of the subject, by medians; above 1 the subject is faster.
            ``paired_ratio`` says of which.
        ci: Ends of the 99 % interval of ``ratio``.
        verdict: What the interval allows to say.
    """

    ratio: float
    ci: tuple[float, float]
    verdict: Verdict


def speedup(subject: LatencySamples, reference: LatencySamples, *, minimum_effect: float = 0.01) -> Speedup:
    """Say whether ``subject`` is faster than ``reference``, both from one measurement.

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
    ratio, low, high = paired_ratio(
        reference.times_ms, subject.times_ms, confidence=CONFIDENCE, pilot=subject.pilot
    )
    verdict: Verdict = "inconclusive"
    if 1 / (1 + minimum_effect) <= low and high <= 1 + minimum_effect:
        verdict = "same"
    elif low > 1:
        verdict = "faster"
    elif high < 1:
        verdict = "slower"
    return Speedup(ratio=ratio, ci=(low, high), verdict=verdict)


def measure_here(
    engines: Mapping[str, Opener],
    *,
    design: Design = STANDARD,
    seed: int = 0,
    on_round: Callable[[int, int], None] | None = None,
) -> dict[str, LatencySamples]:
    """Time whatever can be called, interleaved, in this process; see `edgekd.board.rounds`."""
    found = measure_interleaved(engines, design=design, seed=seed, isolated=False, on_round=on_round)
    return {
        name: LatencySamples(
            name, np.stack(one.rounds_ms), one.warmup, design.sessions, tuple(one.opened_ms), one.peak_bytes
        )
        for name, one in found.items()
    }
