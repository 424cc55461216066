import numpy as np
import pytest

from edgekd.errors import DataError
from edgekd.tasks.metric import Metric, bootstrap_interval


def metric(value, low, high, *, higher_is_better=True):
    return Metric(name="m", value=value, ci95=(low, high), n=9, higher_is_better=higher_is_better)


@pytest.mark.parametrize(
    ("mine", "reached"),
    [(metric(0.8, 0.7, 0.9), True), (metric(0.8, 0.7, 0.84), False), (metric(0.9, 0.9, 0.9), True)],
)
def test_reaches_what_the_interval_allows(mine, reached):
    assert mine.reaches(metric(0.85, 0.8, 0.9)) == reached


def test_an_error_is_better_when_it_is_lower():
    reference = metric(2.0, 1.5, 2.5, higher_is_better=False)
    assert metric(3.0, 1.9, 4.0, higher_is_better=False).reaches(reference)
    assert not metric(3.0, 2.1, 4.0, higher_is_better=False).reaches(reference)


def test_bootstrap_interval_is_that_of_a_mean():
    values = np.random.default_rng(1).normal(5, 2, 400)
    low, high = bootstrap_interval(lambda rows: float(values[rows].mean()), len(values))
    # the mean's standard error is 2 / sqrt(400) = 0.1, so the interval is about 0.39 wide
    assert low < values.mean() < high
    assert high - low == pytest.approx(0.39, rel=0.25)


def test_draws_without_a_number_are_left_out():
    seen = iter(np.tile([np.nan, 1.0], 100))
    assert bootstrap_interval(lambda rows: next(seen), 3) == (1.0, 1.0)
    with pytest.raises(DataError, match="not a number for any draw of 3 samples"):
        bootstrap_interval(lambda rows: np.nan, 3)
