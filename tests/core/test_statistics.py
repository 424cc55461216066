import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgekd.core.statistics import bootstrap_ratio, wilson_interval
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


def _interleaved_times(rng: np.random.Generator, ratio: float) -> tuple[np.ndarray, np.ndarray]:
    """Return (40, 25) and (40, 50) times with a drift that both share, noise by round, outliers."""
    drift = np.exp(np.cumsum(rng.normal(0, 0.05, (40, 1)), axis=0))

    def times(scale: float, samples: int) -> np.ndarray:
        noise = np.exp(rng.normal(0, 0.02, (40, 1)) + rng.normal(0, 0.03, (40, samples)))
        return scale * drift * noise * np.where(rng.random((40, samples)) < 0.02, 10, 1)

    return times(ratio, 25), times(1.0, 50)


def test_bootstrap_ratio_covers_a_planted_ratio():
    covered = 0
    for seed in range(100):
        numerator, denominator = _interleaved_times(np.random.default_rng(seed), 1.3)
        interval = bootstrap_ratio(numerator, denominator, seed=seed, resamples=500)
        covered += interval.low <= 1.3 <= interval.high
    assert covered >= 90


def test_bootstrap_ratio_agrees_with_plain_resampling():
    rng = np.random.default_rng(1)
    numerator, denominator = _interleaved_times(rng, 1.3)
    plain = []
    for _ in range(2000):
        rows = rng.integers(0, 40, 40)
        plain.append(np.median(numerator[rows]) / np.median(denominator[rows]))
    interval = bootstrap_ratio(numerator, denominator, seed=2)
    assert interval.ratio == np.median(numerator) / np.median(denominator)
    assert interval[1:] == pytest.approx(np.quantile(plain, [0.025, 0.975]), rel=0.005)


def test_bootstrap_ratio_is_narrower_than_unpaired_when_rounds_share_a_drift():
    rng = np.random.default_rng(3)
    numerator, denominator = _interleaved_times(rng, 1.3)
    paired = bootstrap_ratio(numerator, denominator, seed=0)
    unpaired = bootstrap_ratio(numerator, rng.permutation(denominator), seed=0)
    assert paired.high - paired.low < 0.5 * (unpaired.high - unpaired.low)


def test_bootstrap_ratio_takes_the_mean_of_two_middle_values_when_samples_are_even():
    assert bootstrap_ratio([[1.0, 3.0], [1.0, 3.0]], [[1.0], [1.0]], seed=0) == (2.0, 2.0, 2.0)


def test_bootstrap_ratio_repeats_for_one_seed_and_is_fast():
    numerator, denominator = _interleaved_times(np.random.default_rng(4), 1.0)
    start = time.perf_counter()
    assert bootstrap_ratio(numerator, denominator, seed=5) == bootstrap_ratio(numerator, denominator, seed=5)
    assert time.perf_counter() - start < 2


@pytest.mark.parametrize("shapes", [((3, 5), (4, 5)), ((1, 5), (1, 5)), ((5,), (5,))], ids=str)
def test_bootstrap_ratio_refuses_times_that_share_no_rounds(shapes: tuple[tuple[int, ...], tuple[int, ...]]):
    with pytest.raises(DataError, match="cannot pair rounds"):
        bootstrap_ratio(np.ones(shapes[0]), np.ones(shapes[1]), seed=0)
