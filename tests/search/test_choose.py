"""Who becomes the student, where nobody can."""

import pytest

from edgekd.errors import SpecError
from edgekd.search.choose import choose
from edgekd.search.limits import Cost
from edgekd.search.record import TrialRecord
from tests.search.test_draws import SMALL, searching


@pytest.mark.parametrize("limits", [{"max_p50_ms": 5.0}, {"min_metric": 0.9}])
def test_where_every_training_failed_that_is_said_and_not_the_cost(limits: dict[str, float]) -> None:
    setting = SMALL.smallest()
    cost = Cost(p50_ms=3.0, p90_ms=None, size_bytes=1, macs=1)
    failed = TrialRecord(number=0, name="a", setting=setting, predicted=cost, epochs=0, metric=None)
    with pytest.raises(SpecError, match="given up in training"):
        choose(searching(SMALL, **limits), [failed], [])


def test_where_nothing_keeps_the_limits_the_nearest_is_named() -> None:
    cost = Cost(p50_ms=3.0, p90_ms=None, size_bytes=1, macs=1)
    slow = TrialRecord(number=0, name="a", setting=SMALL.smallest(), predicted=cost, epochs=0, metric=None)
    with pytest.raises(SpecError, match="nearest"):
        choose(searching(SMALL, max_p50_ms=2.0), [slow], [])
