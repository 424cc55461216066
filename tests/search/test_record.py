from edgekd.search.limits import Cost
from edgekd.search.record import TableCheck, TrialRecord, score, unbeaten
from edgekd.tasks.metric import Metric


def trial(number: int, p50_ms: float, value: float | None, *, epochs: int = 3) -> TrialRecord:
    cost = Cost(p50_ms=p50_ms, p90_ms=None, size_bytes=1, macs=1)
    metric = None if value is None else Metric(name="top1", value=value, ci95=(0, 1), n=100)
    name = f"network {number}"
    return TrialRecord(number=number, name=name, setting={}, predicted=cost, epochs=epochs, metric=metric)


def test_unbeaten_is_what_no_other_trial_beats_in_speed_and_accuracy() -> None:
    fast, slow = trial(0, 1.0, 0.6), trial(1, 3.0, 0.8)
    beaten, as_slow = trial(2, 3.5, 0.7), trial(3, 3.0, 0.7)
    stopped, costly = trial(4, 0.5, 0.5, epochs=1), trial(5, 9.0, None, epochs=0)
    assert unbeaten([slow, beaten, fast, as_slow, stopped, costly]) == [fast, slow]


def test_score_is_higher_the_better_also_of_errors() -> None:
    error = Metric(name="distance", value=0.25, ci95=(0, 1), n=10, higher_is_better=False)
    assert score(error) == -0.25
    assert score(None) < score(error) < score(trial(0, 1, 0.0).metric)


def test_error_of_a_prediction_is_a_fraction_of_what_was_measured() -> None:
    """1.1 / 1.0 - 1 = 0.1."""
    assert round(TableCheck(name="", predicted_ms=1.1, measured_ms=1.0).error, 9) == 0.1
