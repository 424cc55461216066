"""What a search leaves for a report: what was tried, what it costs, why one was chosen. Needs no torch."""

from collections.abc import Sequence
from statistics import median

from edgekd.core.spec_base import Spec
from edgekd.search.halving import Standing, beats
from edgekd.search.limits import Cost, Limits
from edgekd.tasks.metric import Metric

STARTUP = 10
"""Finished trials from which TPE learns; before, settings are drawn evenly from those that are wanted."""


class TrialRecord(Spec):
    """One network of the space that was tried.

    Attributes:
        number: In the order of the study.
        name: Of the network, for people.
        setting: Value of every knob.
        predicted: What it costs, from the latency table, with its correction.
        epochs: That it was trained for before it was stopped; 0 if it costs too much to be trained at all,
            or too little.
        metric: Of its fake-quantized form on the validation split after those; None if it was not trained.
    """

    number: int
    name: str
    setting: dict[str, int | float]
    predicted: Cost
    epochs: int
    metric: Metric | None

    @property
    def standing(self) -> Standing:
        """Score and speed, both better where they are higher."""
        return score(self.metric), -self.predicted.p50_ms


class Finalist(Spec):
    """A trial that was measured as a whole and, if it keeps the limits, trained by the full schedule.

    Attributes:
        number: Of the trial.
        measured: What it costs on the device.
        metric: On the validation split after the full schedule; None if it costs too much.
    """

    number: int
    measured: Cost
    metric: Metric | None


class TableCheck(Spec):
    """A network of the space, drawn at random, whose latency was predicted and measured.

    Attributes:
        name: Of the network.
        predicted_ms: Median latency by the table, uncorrected.
        measured_ms: Median latency of the whole network.
    """

    name: str
    predicted_ms: float
    measured_ms: float

    @property
    def error(self) -> float:
        """Of the prediction, as a fraction of what was measured; above 0 it was too high."""
        return self.predicted_ms / self.measured_ms - 1


class SearchRecord(Spec):
    """What a search found.

    Attributes:
        space: Kind of the search space.
        space_size: Number of its settings.
        sampler: What proposed settings.
        limits: What the student had to keep.
        least_use: Share of some limit below which networks were passed over.
        device: What latencies belong to.
        checks: Predicted against measured.
        trials: Every network that was tried.
        finalists: Those that were trained by the full schedule, and those that cost too much to be.
        chosen: Number of the trial that became the student.
        why: In a sentence.
    """

    space: str
    space_size: int
    sampler: str
    limits: Limits
    least_use: float = 0.0
    device: dict[str, str]
    checks: tuple[TableCheck, ...]
    trials: tuple[TrialRecord, ...]
    finalists: tuple[Finalist, ...]
    chosen: int
    why: str

    @property
    def correction(self) -> float:
        """What predicted latencies were multiplied by."""
        return correction_of(self.checks)

    @property
    def median_error(self) -> float | None:
        """Median of the table's errors without their signs; None if nothing was checked."""
        return median(abs(check.error) for check in self.checks) if self.checks else None


def correction_of(checks: Sequence[TableCheck]) -> float:
    """Return measured over predicted latency, the median of what was checked; 1 if nothing was.

    Example:
        >>> correction_of([TableCheck(name="a", predicted_ms=0.5, measured_ms=0.4)])
        0.8
    """
    return median(check.measured_ms / check.predicted_ms for check in checks) if checks else 1.0


def score(metric: Metric | None) -> float:
    """Return a number that is higher the better; of no metric, minus infinity."""
    if metric is None:
        return float("-inf")
    return metric.value if metric.higher_is_better else -metric.value


def unbeaten(trials: Sequence[TrialRecord]) -> list[TrialRecord]:
    """Return the trials that no other beats in both speed and accuracy, the fastest first.

    Only trials that were trained longest are compared: others were stopped because they were worse.
    """
    longest = max((trial.epochs for trial in trials), default=0)
    trained = [trial for trial in trials if trial.metric is not None and trial.epochs == longest]
    best = [trial for trial in trained if not any(beats(other.standing, trial.standing) for other in trained)]
    return sorted(best, key=lambda trial: trial.predicted.p50_ms)
