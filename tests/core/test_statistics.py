import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgekd.board.rounds import student_quantile
from edgekd.core.statistics import mcnemar, paired_difference, paired_ratio, wilson_interval
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


# Tails of a fair coin thrown n times:
#   1 and 6:  n = 7,  2 * (1 + 7) / 128 = 0.125
#   2 and 8:  n = 10, 2 * (1 + 10 + 45) / 1024 = 0.109375
#   0 and 6:  n = 6,  2 * 1 / 64 = 0.03125
#   5 and 15: n = 20, 2 * (1 + 20 + 190 + 1140 + 4845 + 15504) / 1048576 = 0.0413895
#   5 and 5:  twice half of the distribution and more: 1
@pytest.mark.parametrize(
    ("only_a", "only_b", "p_value"),
    [(1, 6, 0.125), (2, 8, 0.109375), (0, 6, 0.03125), (5, 15, 0.0413895), (5, 5, 1), (0, 0, 1), (3, 4, 1)],
)
def test_mcnemar_matches_the_tails_by_hand(only_a: int, only_b: int, p_value: float):
    assert mcnemar(only_a, only_b) == pytest.approx(p_value, abs=1e-7)
    assert mcnemar(only_b, only_a) == mcnemar(only_a, only_b)


def test_mcnemar_stays_exact_where_floats_overflow():
    assert mcnemar(10_000, 10_000) == 1
    assert 0 <= mcnemar(2000, 4000) < 1e-100
    assert mcnemar(4900, 5100) == pytest.approx(0.0466, abs=2e-4)  # normal: 199 / 100 deviations, 0.0466


# z = 1.959964.
#   4 and 12 of 100: apart -8; sqrt(17 - 64/102) = 4.046421; half = 1.959964 * 4.046421 / 102 = 0.077753;
#                    centre = -8 / 102 = -0.078431
#   0 and 0 of 10:   centre 0; half = 1.959964 * sqrt(1) / 12 = 0.163330
#   3 and 0 of 4:    centre = 3 / 6 = 0.5; half = 1.959964 * sqrt(4 - 9/6) / 6 = 0.516494, cut at 1
@pytest.mark.parametrize(
    ("only_a", "only_b", "n", "low", "high"),
    [(4, 12, 100, -0.156184, -0.000678), (0, 0, 10, -0.163330, 0.163330), (3, 0, 4, -0.016494, 1)],
)
def test_paired_difference_matches_the_formula_by_hand(
    only_a: int, only_b: int, n: int, low: float, high: float
):
    assert paired_difference(only_a, only_b, n) == pytest.approx((low, high), abs=3e-6)
    assert paired_difference(only_b, only_a, n) == pytest.approx((-high, -low), abs=3e-6)


def test_paired_difference_covers_a_planted_difference():
    rng = np.random.default_rng(0)
    covered = 0
    for only_a, only_b, _ in rng.multinomial(300, [0.03, 0.06, 0.91], 1000):
        low, high = paired_difference(int(only_a), int(only_b), 300)
        covered += low <= -0.03 <= high
    assert 930 <= covered <= 970


@pytest.mark.parametrize("counts", [(-1, 2, 5), (2, -1, 5), (3, 3, 5), (0, 0, 0)], ids=str)
def test_impossible_counts_are_refused(counts: tuple[int, int, int]):
    with pytest.raises(DataError, match="no interval for"):
        paired_difference(*counts)
    if min(counts) < 0:
        with pytest.raises(DataError, match="no test of"):
            mcnemar(*counts[:2])


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
