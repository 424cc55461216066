"""What a verdict rests on: intervals of fractions and ratios, and whether two models differ at all."""

import math
from statistics import NormalDist
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from edgekd.board.rounds import session_ratios, student_quantile
from edgekd.errors import DataError


class Ratio(NamedTuple):
    """A ratio of two times, with the ends of its confidence interval."""

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


def mcnemar(only_a: int, only_b: int) -> float:
    """Return the p-value of the exact two-sided McNemar test: are two models equally often right?

    Only the samples that one of them gets right count. If both are equally good, each is a fair coin::

        p = min(1, 2 * sum(comb(n, i) for i in 0..min(only_a, only_b)) / 2^n),  n = only_a + only_b

    Args:
        only_a: Samples that only the first model gets right.
        only_b: Samples that only the second one gets right.

    Raises:
        DataError: If one of them is negative.

    Source:
        McNemar 1947, Psychometrika 12, 153-157; the exact form is the sign test on the samples that differ.

    Example:
        >>> mcnemar(1, 6), mcnemar(3, 3), mcnemar(0, 0)
        (0.125, 1.0, 1.0)
    """
    if min(only_a, only_b) < 0:
        what = f"no test of {only_a} and {only_b} samples"
        raise DataError(what, fix="count the samples that only one model gets right")
    n = only_a + only_b
    term, total = 1, 1
    for i in range(min(only_a, only_b)):
        term = term * (n - i) // (i + 1)
        total += term
    return min(1.0, total / 2 ** (n - 1)) if n else 1.0


def paired_difference(only_a: int, only_b: int, n: int, *, confidence: float = 0.95) -> tuple[float, float]:
    """Return the interval of how much more often the first of two models is right, on the same samples.

    Half a sample is added to each of the four cells of the table, so that an interval has a width also where
    the two always agree. With z the two-sided normal quantile::

        centre = (only_a - only_b) / (n + 2)
        half   = z * sqrt(only_a + only_b + 1 - (only_a - only_b)^2 / (n + 2)) / (n + 2)

    Args:
        only_a: Samples that only the first model gets right.
        only_b: Samples that only the second one gets right.
        n: All samples, at least 1.
        confidence: Coverage asked for, between 0 and 1.

    Returns:
        Low and high end, each -1..1.

    Raises:
        DataError: If there are no samples, or fewer than those that differ.

    Source:
        Agresti & Min 2005, Stat. Med. 24, 729-740.

    Example:
        >>> low, high = paired_difference(4, 12, 100)
        >>> print(f"{low:.4f} {high:.4f}")
        -0.1562 -0.0007
    """
    if n < 1 or min(only_a, only_b) < 0 or only_a + only_b > n:
        what = f"no interval for {only_a} and {only_b} of {n} samples"
        raise DataError(what, fix="count the samples that only one model gets right, of all")
    z = NormalDist().inv_cdf((1 + confidence) / 2)
    apart, counted = only_a - only_b, n + 2
    half = z * math.sqrt(only_a + only_b + 1 - apart**2 / counted) / counted
    return max(-1.0, apart / counted - half), min(1.0, apart / counted + half)


def paired_ratio(
    numerator: ArrayLike, denominator: ArrayLike, *, confidence: float = 0.95, pilot: int | None = None
) -> Ratio:
    """Return the ratio of two times over independent sessions, with Student's interval.

    Each of n sessions gives one ratio r_i, the median over its rounds of the ratio of the round's medians:
    what slowed both in a round cancels, and a round that slowed one of them only is outvoted. ::

        log ratio = mean(log r_i)
        half      = t(n - 1) * deviation(log r_i) / sqrt(n)

    Whatever differs from session to session is in the deviation. What is the same in all of them is not.

    Where the deviation of the first ``pilot`` sessions has decided how many there are, it is this deviation,
    and its degrees of freedom, that keep the interval's promise (Stein 1945); should the deviation of all
    sessions be larger, it counts.

    Args:
        numerator: Times (sessions, rounds, repeats), any unit.
        denominator: Times of the same sessions and rounds, same unit; the number of repeats may differ.
        confidence: Coverage asked for, between 0 and 1.
        pilot: Sessions of the first stage; all of them if None.

    Raises:
        DataError: If the two do not have the same rounds in the same two or more sessions.

    Example:
        >>> ratio, low, high = paired_ratio([[[3.0, 3.0]], [[3.3, 3.3]]], [[[2.0]], [[2.0]]])
        >>> print(f"{ratio:.3f} {low:.3f} {high:.3f}")
        1.573 0.859 2.882
    """
    top, bottom = np.asarray(numerator, np.float64), np.asarray(denominator, np.float64)
    if not top.ndim == bottom.ndim == 3 or top.shape[:2] != bottom.shape[:2] or len(top) < 2:
        what = f"cannot pair sessions of times shaped {top.shape} and {bottom.shape}"
        raise DataError(what, fix="measure both in the same run, and that at least twice")
    logs = session_ratios(top, bottom)
    first = logs[:pilot]
    deviation = max(first.std(ddof=1), logs.std(ddof=1))
    half = student_quantile(len(first) - 1, confidence) * deviation / np.sqrt(len(logs))
    ratio, low, high = np.exp([logs.mean(), logs.mean() - half, logs.mean() + half])
    return Ratio(float(ratio), float(low), float(high))
