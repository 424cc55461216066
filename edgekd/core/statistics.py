"""Intervals for the two numbers a verdict rests on: a fraction of right answers, a ratio of latencies."""

from statistics import NormalDist
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from edgekd.errors import DataError


class Ratio(NamedTuple):
    """A ratio of two medians, with the ends of its confidence interval."""

    ratio: float
    low: float
    high: float


def wilson_interval(successes: int, n: int, *, confidence: float = 0.95) -> tuple[float, float]:
    """Return Wilson's score interval of a fraction, such as top-1 on ``n`` test images.

    With p = successes / n and z the two-sided normal quantile (1.96 at 0.95)::

        centre = (p + z^2 / 2n) / (1 + z^2 / n)
        half   = z / (1 + z^2 / n) * sqrt(p (1 - p) / n + z^2 / 4n^2)

    Unlike p +- z sqrt(p (1 - p) / n) it stays within 0..1 and keeps a width when all answers are right.

    Args:
        successes: Right answers, 0..n.
        n: Answers, at least 1.
        confidence: Coverage asked for, between 0 and 1.

    Returns:
        Low and high end, each 0..1.

    Raises:
        DataError: If there is no answer, or more right answers than answers.

    Source:
        Wilson 1927, J. Am. Stat. Assoc. 22, 209-212; recommended by Brown, Cai & DasGupta 2001, Stat. Sci.
        16.

    Example:
        >>> low, high = wilson_interval(90, 100)
        >>> print(f"{low:.4f} {high:.4f}")
        0.8256 0.9448
    """
    if n < 1 or not 0 <= successes <= n:
        what = f"no interval for {successes} right answers of {n}"
        raise DataError(what, fix="evaluate on at least one sample")
    z = NormalDist().inv_cdf((1 + confidence) / 2)
    p = successes / n
    shrink = 1 + z**2 / n
    centre = (p + z**2 / (2 * n)) / shrink
    half = z / shrink * (p * (1 - p) / n + z**2 / (4 * n**2)) ** 0.5
    return max(0.0, min(p, centre - half)), min(1.0, max(p, centre + half))


def bootstrap_ratio(
    numerator: ArrayLike,
    denominator: ArrayLike,
    *,
    seed: int,
    resamples: int = 2000,
    confidence: float = 0.95,
) -> Ratio:
    """Return the ratio of two medians over interleaved rounds, with a bootstrap percentile interval.

    Whole rounds are drawn with replacement, and the same rounds for both: samples of one round share
    whatever the machine did at that time, so they are no independent draws, and what slowed both in a round
    cancels.

    Args:
        numerator: Times (rounds, samples), any unit.
        denominator: Times (rounds, samples), same unit and rounds; the number of samples may differ.
        seed: Seed of the draws.
        resamples: Number of bootstrap draws.
        confidence: Coverage asked for, between 0 and 1.

    Returns:
        Median of all numerator times over median of all denominator times, and the interval of that ratio.

    Raises:
        DataError: If the two are not measured in the same two or more rounds.

    Source:
        Efron & Tibshirani 1993, An Introduction to the Bootstrap, ch. 13 (percentile interval); cluster
        resampling: Davison & Hinkley 1997, Bootstrap Methods and their Application, sec. 3.8.

    Example:
        >>> bootstrap_ratio([[3.0, 3.0], [3.0, 3.0]], [[2.0], [2.0]], seed=0)
        Ratio(ratio=1.5, low=1.5, high=1.5)
    """
    top, bottom = np.asarray(numerator, np.float64), np.asarray(denominator, np.float64)
    if top.ndim != 2 or bottom.ndim != 2 or len(top) != len(bottom) or len(top) < 2:
        what = f"cannot pair rounds of times shaped {top.shape} and {bottom.shape}"
        raise DataError(what, fix="measure both in the same run, in at least two rounds")
    rounds = len(top)
    draws = np.random.default_rng(seed).multinomial(rounds, np.full(rounds, 1 / rounds), size=resamples)
    ratios = _weighted_medians(top, draws) / _weighted_medians(bottom, draws)
    low, high = np.quantile(ratios, [(1 - confidence) / 2, (1 + confidence) / 2])
    return Ratio(float(np.median(top) / np.median(bottom)), float(low), float(high))


def _weighted_medians(times: NDArray[np.float64], draws: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return the median of ``times`` (rounds, samples) for each row of ``draws`` (resamples, rounds).

    A row says how often each round is taken. Sorts once; then each median is found by bisection, because the
    number of taken values among the first k sorted ones is a product of the row with each round's share of
    those k.
    """
    order = np.argsort(times, axis=None, kind="stable")
    ordered = times.ravel()[order]
    round_of = order // times.shape[1]
    ranks = np.cumsum(round_of[:, None] == np.arange(len(times)), axis=0, dtype=np.int64)

    def value_at(position: int) -> NDArray[np.float64]:
        low = np.zeros(len(draws), np.int64)
        high = np.full(len(draws), ordered.size - 1)
        while np.any(low < high):
            middle = (low + high) // 2
            enough = np.sum(ranks[middle] * draws, axis=1) > position
            low, high = np.where(enough, low, middle + 1), np.where(enough, middle, high)
        return ordered[low]

    return (value_at((times.size - 1) // 2) + value_at(times.size // 2)) / 2
