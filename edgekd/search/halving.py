"""Successive halving, as trials come by: who goes on to the next rung.

Paper: Jamieson & Talwalkar 2016, arXiv:1502.07943, alg. 1; asynchronous: Li et al. 2018, arXiv:1810.05934,
alg. 2. Where we differ: a trial is judged once, against those that were there before it, and is not taken up
again later; where the fastest student is wanted, one trial is better than another if it beats it in accuracy
and in speed (Deb et al. 2002, "NSGA-II", counts dominating points alike).
"""

from collections.abc import Sequence

Standing = tuple[float, ...]
"""What a trial is compared by, each number higher the better."""


def goes_on(mine: Standing, peers: Sequence[Standing], *, keep: int) -> bool:
    """Say whether a trial is among the best one of ``keep`` of its rung; the best always is.

    Args:
        mine: Of the trial.
        peers: Of the others that reached the rung.
        keep: One of so many goes on.

    Example:
        >>> goes_on((0.8,), [(0.9,), (0.7,), (0.6,)], keep=2), goes_on((0.7,), [(0.9,), (0.8,)], keep=2)
        (True, False)
    """
    better = sum(beats(peer, mine) for peer in peers)
    return better < max(1, (len(peers) + 1) // keep)


def beats(one: Standing, other: Standing) -> bool:
    """Whether one is nowhere worse than the other, and somewhere better."""
    return one != other and all(a >= b for a, b in zip(one, other, strict=True))
