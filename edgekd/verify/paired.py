"""Two models on the same test samples: a difference too small for two intervals can still be seen."""

import numpy as np
from numpy.typing import NDArray

from edgekd.core.spec_base import Spec
from edgekd.core.statistics import mcnemar, paired_difference


class Paired(Spec):
    """An engine against another model on the same samples.

    Attributes:
        only_engine_right: Samples that the engine alone gets right.
        only_other_right: Samples that the other model alone gets right.
        n: All samples.
        difference: Fraction that the engine gets right, less that of the other.
        ci95: 95 % interval of ``difference``.
        p_value: Of the exact McNemar test: how likely a split as uneven as this is if both are equally good.
    """

    only_engine_right: int
    only_other_right: int
    n: int
    difference: float
    ci95: tuple[float, float]
    p_value: float


def compare_paired(engine: NDArray[np.bool_], other: NDArray[np.bool_]) -> Paired:
    """Return the comparison of what two models get right, (n,) each.

    Example:
        >>> found = compare_paired(np.array([True, True, False]), np.array([True, False, False]))
        >>> found.only_engine_right, found.only_other_right, round(found.difference, 3)
        (1, 0, 0.333)
    """
    only_engine, only_other = int(np.sum(engine & ~other)), int(np.sum(other & ~engine))
    return Paired(
        only_engine_right=only_engine,
        only_other_right=only_other,
        n=len(engine),
        difference=(only_engine - only_other) / len(engine),
        ci95=paired_difference(only_engine, only_other, len(engine)),
        p_value=mcnemar(only_engine, only_other),
    )
