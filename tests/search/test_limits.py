import pytest
from pydantic import ValidationError

from edgekd.search.limits import Cost, Limits

PREDICTED = Cost(p50_ms=2.0, p90_ms=None, size_bytes=100_000, macs=1_000_000)


def test_excesses_name_what_is_not_kept() -> None:
    limits = Limits(max_p50_ms=1.6, max_size_bytes=100_000, max_macs=500_000)
    found = [(one.limit, one.allowed, one.found) for one in limits.excesses(PREDICTED)]
    assert found == [("max_p50_ms", 1.6, 2.0), ("max_macs", 500_000, 1_000_000)]


def test_shares_are_what_a_cost_takes_of_each_limit() -> None:
    """2.0 / 1.6 = 1.25; 100 000 / 200 000 = 0.5."""
    limits = Limits(max_p50_ms=1.6, max_size_bytes=200_000)
    assert limits.shares(PREDICTED) == pytest.approx({"max_p50_ms": 1.25, "max_size_bytes": 0.5})


def test_use_is_the_largest_share_of_a_limit() -> None:
    """2.0 / 2.5 = 0.8 of the time, 100 000 / 200 000 = 0.5 of the size."""
    assert Limits(max_p50_ms=2.5, max_size_bytes=200_000).use(PREDICTED) == pytest.approx(0.8)
    assert Limits(min_metric=0.9).use(PREDICTED) == 0


def test_a_predicted_median_is_held_against_the_limit_of_nine_in_ten() -> None:
    limits = Limits(max_p90_ms=1.9)
    assert limits.excesses(PREDICTED)[0].found == 2.0
    measured = PREDICTED.model_copy(update={"p50_ms": 1.5, "p90_ms": 1.95})
    assert limits.excesses(measured)[0].found == 1.95


def test_nothing_limited_is_refused() -> None:
    with pytest.raises(ValidationError, match="set at least one of max_p50_ms"):
        Limits()
