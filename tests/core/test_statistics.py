import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgekd.board.rounds import student_quantile
from edgekd.core.statistics import paired_ratio, wilson_interval
from edgekd.errors import DataError


# z = 1.959964, z^2 = 3.841459.
#   8 of 10:   shrink = 1 + 3.841459/10 = 1.384146; centre = (0.8 + 3.841459/20) / 1.384146 = 0.716740
#              half = 1.959964/1.384146 * sqrt(0.16/10 + 3.841459/400) = 1.416009 * 0.160012 = 0.226578
#   0 of 20:   shrink = 1.192073; centre = (3.841459/40) / 1.192073 = 0.080563; half = 1.644164 *
#              sqrt(3.841459/1600) = 1.644164 * 0.048999 = 0.080563, so the low end is 0
#   989 of 1000: shrink = 1.003841; centre = (0.989 + 0.001921) / 1.003841 = 0.987129
#              half = 1.952464 * sqrt(0.010879/1000 + 3.841459/4e6) = 1.952464 * 0.0034408 = 0.006718
@pytest.mark.parametrize(
    ("successes", "n", "low", "high"),
    [(8, 10, 0.490162, 0.943318), (0, 20, 0.0, 0.161125), (989, 1000, 0.980411, 0.993847)],
)
def test_wilson_interval_matches_the_formula_by_hand(successes: int, n: int, low: float, high: float):
    assert wilson_interval(successes, n) == pytest.approx((low, high), abs=3e-6)


@given(st.integers(1, 10**6).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_wilson_interval_holds_the_fraction_and_mirrors(case: tuple[int, int]):
    successes, n = case
    low, high = wilson_interval(successes, n)
    assert 0 <= low <= successes / n <= high <= 1
    assert wilson_interval(n - successes, n) == pytest.approx((1 - high, 1 - low), abs=1e-12)


def test_wilson_interval_widens_with_confidence():
    low_90, high_90 = wilson_interval(90, 100, confidence=0.90)
    low_99, high_99 = wilson_interval(90, 100, confidence=0.99)
    assert low_99 < low_90 < high_90 < high_99


@pytest.mark.parametrize(("successes", "n"), [(0, 0), (3, 2), (-1, 5)])
def test_wilson_interval_refuses_impossible_counts(successes: int, n: int):
    with pytest.raises(DataError, match=f"no interval for {successes} right answers of {n}"):
        wilson_interval(successes, n)


def _paired_times(rng: np.random.Generator, ratio: float) -> tuple[np.ndarray, np.ndarray]:
    """Return 8 sessions of 5 rounds with a drift that both share, noise by session and sample, outliers."""
    drift = np.exp(np.cumsum(rng.normal(0, 0.05, (40, 1)), axis=0)).reshape(8, 5, 1)

    def times(scale: float, samples: int) -> np.ndarray:
        noise = np.exp(rng.normal(0, 0.02, (8, 1, 1)) + rng.normal(0, 0.03, (8, 5, samples)))
        return scale * drift * noise * np.where(rng.random((8, 5, samples)) < 0.02, 10, 1)

    return times(ratio, 5), times(1.0, 10)


def test_paired_ratio_covers_a_planted_ratio():
    covered = 0
    for seed in range(400):
        numerator, denominator = _paired_times(np.random.default_rng(seed), 1.3)
        interval = paired_ratio(numerator, denominator)
        covered += interval.low <= 1.3 <= interval.high
    assert 368 <= covered <= 392  # 95 % of 400 is 380; the standard deviation is 4.4


def test_paired_ratio_is_narrower_than_unpaired_when_sessions_share_a_drift():
    rng = np.random.default_rng(3)
    numerator, denominator = _paired_times(rng, 1.3)
    paired = paired_ratio(numerator, denominator)
    unpaired = paired_ratio(numerator, denominator[::-1])
    assert paired.high - paired.low < 0.5 * (unpaired.high - unpaired.low)


def test_paired_ratio_matches_the_formula_by_hand():
    """Ratios 2 and 4: logs 0.693147 and 1.386294, mean 1.039721 = log(2.828427), deviation 0.490129.

    half = 12.706205 * 0.490129 / sqrt(2) = 4.403652; the ends are exp(1.039721 -+ 4.403652).
    """
    first = [[1.0, 2.0, 9.0], [7.0, 7.0, 7.0], [1.0, 1.0, 1.0]]  # medians 2, 7, 1; against 1, 1, 1: median 2
    second = [[4.0, 4.0, 4.0], [8.0, 8.0, 8.0], [9.0, 9.0, 9.0]]  # medians 4, 8, 9; against 1, 2, 1: median 4
    others = [[[1.0, 1.0]] * 3, [[1.0, 1.0], [1.0, 3.0], [1.0, 1.0]]]
    found = paired_ratio([first, second], others)
    assert found == pytest.approx((2.828427, 0.034599, 231.2208), rel=1e-4)


def test_paired_ratio_keeps_the_deviation_that_planned_the_number_of_sessions():
    """Logs 0, 0.02, 0, 0.02 planned; four more at 0.01 lower the deviation of all, which may not count.

    half = t(3) * 0.0115470 / sqrt(8) = 5.840909 * 0.0115470 / 2.828427 = 0.0238453.
    """
    logs = np.array([0, 0.02, 0, 0.02, 0.01, 0.01, 0.01, 0.01])
    found = paired_ratio(np.exp(logs)[:, None, None], np.ones((8, 1, 1)), confidence=0.99, pilot=4)
    assert np.log(found) == pytest.approx((0.01, 0.01 - 0.0238453, 0.01 + 0.0238453), abs=1e-6)


def test_paired_ratio_widens_when_later_sessions_spread_more_than_those_that_planned():
    logs = np.array([0, 0.001, 0, 0.001, -0.05, 0.05, -0.05, 0.05])
    numerator, denominator = np.exp(logs)[:, None, None], np.ones((8, 1, 1))
    planned = paired_ratio(numerator, denominator, pilot=4)
    assert planned.high - planned.low > 2 * logs.std() * 3.18 / np.sqrt(8)


@pytest.mark.parametrize(
    ("degrees", "confidence", "t"),
    [(1, 0.95, 12.7062), (4, 0.99, 4.6041), (7, 0.95, 2.3646), (1000, 0.9, 1.6464)],
)
def test_student_quantile_matches_the_tables(degrees: int, confidence: float, t: float):
    assert student_quantile(degrees, confidence) == pytest.approx(t, abs=5e-5)


@pytest.mark.parametrize(
    "shapes", [((3, 2, 5), (4, 2, 5)), ((3, 2, 5), (3, 4, 5)), ((1, 2, 5), (1, 2, 5)), ((5,), (5,))], ids=str
)
def test_paired_ratio_refuses_times_that_share_no_sessions(
    shapes: tuple[tuple[int, ...], tuple[int, ...]],
):
    with pytest.raises(DataError, match="cannot pair sessions"):
        paired_ratio(np.ones(shapes[0]), np.ones(shapes[1]))
