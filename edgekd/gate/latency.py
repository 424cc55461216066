"""The gate ``latency``: how fast the engine is, compared with a model that was timed beside it.

Milliseconds that were stored say nothing about an engine: another machine, another day, another neighbour
on the same core. So a limit over the run's own float student, teacher or post-training quantization takes the
ratio that the run measured in turns, with its interval; a limit over the baseline times both engines now, in
turns, on this machine; and a limit in milliseconds means this machine as it is now. The interval decides.
"""

from collections.abc import Iterator
from typing import Literal

import numpy as np
from pydantic import Field

from edgekd.board.rounds import CONFIDENCE
from edgekd.core.statistics import paired_ratio
from edgekd.device.latency import LatencySamples, speedup
from edgekd.gate.case import BASELINE, ENGINE, Case
from edgekd.gate.gate import GateSpec
from edgekd.report.schema import GateResult

OVER = "min_speedup_over_"


class LatencySpec(GateSpec):
    """Time of one inference, relative to the run's own models, to the baseline, or in milliseconds.

    Attributes:
        min_speedup_over_student_float: How many times faster than its float student, as its run measured it.
        min_speedup_over_teacher_float: How many times faster than the float teacher.
        min_speedup_over_ptq: How many times faster than post-training quantization.
        max_ratio: Its time over the baseline's, both measured now on this machine: 1.02 allows 2 % more. Set
            it above 1 by what does not matter: two copies of one file are never told apart from 1 exactly.
        max_p50_ms: Its median on this machine, measured now.
    """

    over_baseline = ("max_ratio",)

    kind: Literal["latency"] = "latency"
    min_speedup_over_student_float: float | None = Field(default=None, gt=0)
    min_speedup_over_teacher_float: float | None = Field(default=None, gt=0)
    min_speedup_over_ptq: float | None = Field(default=None, gt=0)
    max_ratio: float | None = Field(default=None, gt=0)
    max_p50_ms: float | None = Field(default=None, gt=0)

    def check(self, case: Case) -> None:
        """Say at once, too, that an engine is not here to be timed."""
        super().check(case)
        if self.max_ratio is not None or self.max_p50_ms is not None:
            case.subject.engine_path()
        if self.max_ratio is not None:
            case.against(self.name("max_ratio")).engine_path()

    def judge(self, case: Case) -> Iterator[GateResult]:
        """Decide on the intervals."""
        for limit in self.limits():
            if limit.startswith(OVER) and getattr(self, limit) is not None:
                over = limit.removeprefix(OVER)
                text = f"times the speed of {over}, as the run timed both in turns"
                if case.subject.not_run:
                    yield self.decided(case, limit, None, text, unit="ratio")
                    continue
                found = case.subject.speedup(over)
                yield self.decided(case, limit, found.ratio, text, unit="ratio", interval=found.ci)
        if self.max_ratio is not None or self.max_p50_ms is not None:
            yield from self._measured(case)

    def _measured(self, case: Case) -> Iterator[GateResult]:
        baseline = None if self.max_ratio is None else case.against(self.name("max_ratio"))
        measured = case.measure(baseline)
        engine, how = measured.samples[ENGINE], "; ".join(("timed now", *measured.doubts))
        if self.max_ratio is not None:
            before = measured.samples[BASELINE]
            found = speedup(engine, before)
            low, high = found.ci
            text = f"p50 {engine.p50_ms:.4g} ms, the baseline {before.p50_ms:.4g} ms, in turns, {how}"
            interval = (1 / high, 1 / low)
            yield self.decided(case, "max_ratio", 1 / found.ratio, text, unit="ratio", interval=interval)
        if self.max_p50_ms is not None:
            p50_ms, low, high = _median_ms(engine)
            text = f"{engine.n} inferences on this machine, {how}"
            yield self.decided(case, "max_p50_ms", p50_ms, text, unit="ms", interval=(low, high))


def _median_ms(samples: LatencySamples) -> tuple[float, float, float]:
    """Return the mean over sessions of the median, with its interval: the ratio to one millisecond."""
    return paired_ratio(samples.times_ms, np.ones_like(samples.times_ms), confidence=CONFIDENCE)
