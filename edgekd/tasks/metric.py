"""A number that says how right a model is, with its interval."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from edgekd.core.spec_base import Spec
from edgekd.errors import DataError

RESAMPLES = 200


class Metric(Spec):
    """A number that says how right a model is.

    Attributes:
        name: Metric of the task, such as ``top1``.
        value: Its value; fractions are 0..1.
        ci95: 95 % interval of ``value``.
        n: Samples that it was computed on.
        higher_is_better: False for an error, such as a mean distance.
    """

    name: str
    value: float
    ci95: tuple[float, float]
    n: int
    higher_is_better: bool = True

    def reaches(self, other: "Metric") -> bool:
        """Whether this is at least as good as ``other``'s value, as far as the interval can tell."""
        low, high = self.ci95
        if self.higher_is_better:
            return max(self.value, high) >= other.value
        return min(self.value, low) <= other.value


def bootstrap_interval(measure: Callable[[NDArray[np.intp]], float], n: int) -> tuple[float, float]:
    """Return the 95 % percentile interval of a metric over ``n`` samples drawn with replacement.

    Draws for which the metric is not a number are left out.

    Args:
        measure: Returns the metric of some rows.
        n: Samples, at least 1.

    Raises:
        DataError: If it is not a number for any draw.

    Source:
        Efron & Tibshirani 1993, An Introduction to the Bootstrap, ch. 13.

    Example:
        >>> bootstrap_interval(lambda rows: 2.0, 5)
        (2.0, 2.0)
    """
    rng = np.random.default_rng(0)
    drawn = np.array([measure(rng.integers(0, n, n)) for _ in range(RESAMPLES)])
    finite = drawn[np.isfinite(drawn)]
    if not len(finite):
        what = f"the metric is not a number for any draw of {n} samples"
        raise DataError(what, fix="test on more samples, or return a number for those few, too")
    low, high = np.quantile(finite, [0.025, 0.975])
    return float(low), float(high)
