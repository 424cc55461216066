"""The gates ``accuracy`` and ``agreement``: how right the engine is on the test split.

A test split is fixed, so its counts repeat exactly and a limit on them is decided by the value. The 95 %
interval that is printed beside it (Wilson's, for a share of right answers) says how far another sample of
the same size could lie: a limit closer than that to the value watches this split, not the world.
"""

from collections.abc import Iterator
from typing import Literal

from pydantic import Field

from edgekd.errors import SpecError
from edgekd.gate.case import Case
from edgekd.gate.gate import DIGITS, GateSpec
from edgekd.report.schema import GateResult, GateUnit
from edgekd.report.words import FRACTIONS, metric_interval, metric_value
from edgekd.tasks.metric import Metric


class AccuracySpec(GateSpec):
    """Metric on the test split: top-1, or that of a task of one's own.

    Attributes:
        min: Least value, where higher is better; top-1 is 0..1.
        max: Most, where lower is better, such as a mean distance.
        max_drop: How much worse than the baseline it may be, in the metric's own unit: 0.005 is half a per
            cent of the images.
        max_drop_from_float: How much worse than its own float student.
    """

    over_baseline = ("max_drop",)

    kind: Literal["accuracy"] = "accuracy"
    min: float | None = None
    max: float | None = None
    max_drop: float | None = None
    max_drop_from_float: float | None = None

    def judge(self, case: Case) -> Iterator[GateResult]:
        """Decide on the values."""
        metric = case.subject.metric()
        unit: GateUnit = "fraction" if metric.name in FRACTIONS else "number"
        for limit, asked, wrong in (("min", self.min, "max"), ("max", self.max, "min")):
            if asked is None:
                continue
            if metric.higher_is_better != (limit == "min"):
                better = "higher" if metric.higher_is_better else "lower"
                what = f"{self.name(limit)} limits {metric.name} from the wrong side: {better} is better"
                raise SpecError(what, where=str(case.subject.where), fix=f"write {wrong} instead of {limit}")
            yield self.decided(case, limit, metric.value, _said(metric), unit=unit)
        if self.max_drop is not None:
            limit = "max_drop"
            before = case.against(self.name(limit)).metric()
            drop, text = _drop(metric, before, whose="the baseline's", case=case)
            yield self.decided(case, limit, drop, text, unit=unit)
        if self.max_drop_from_float is not None:
            before = case.subject.float_metric()
            drop, text = _drop(metric, before, whose="the float student's", case=case)
            yield self.decided(case, "max_drop_from_float", drop, text, unit=unit)


class AgreementSpec(GateSpec):
    """Share of the test samples on which engine and trained student give the same answer.

    Attributes:
        min: Least share, 0..1.
    """

    kind: Literal["agreement"] = "agreement"
    min: float | None = Field(default=None, ge=0, le=1)

    def judge(self, case: Case) -> Iterator[GateResult]:
        """Decide on the value."""
        found = case.subject.agreement()
        text = f"answers of the trained student, {case.subject.metric().n} test samples"
        yield self.decided(case, "min", found, text, unit="fraction")


def _said(metric: Metric) -> str:
    value, interval = metric_value(metric), metric_interval(metric)
    return f"{metric.name} {value}, 95 % interval {interval}, {metric.n} test samples"


def _drop(metric: Metric, before: Metric, *, whose: str, case: Case) -> tuple[float, str]:
    """Return by how much a metric is worse than another, and that as a sentence."""
    if (metric.name, metric.n) != (before.name, before.n):
        what = (
            f"{metric.name} on {metric.n} test samples does not compare with {whose} {before.name} "
            f"on {before.n}"
        )
        fix = "compare runs on the same test split, or leave the limit out"
        raise SpecError(what, where=str(case.subject.where), fix=fix)
    worse = before.value - metric.value if metric.higher_is_better else metric.value - before.value
    return round(worse, DIGITS), f"{_said(metric)}; {whose} {metric_value(before)}"
