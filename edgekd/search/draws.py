"""Settings drawn evenly from those that are wanted, for as long as a sampler has nothing to go by."""

from collections.abc import Container

import numpy as np

from edgekd.search.search import Search
from edgekd.search.space import Value

MOST_DRAWS = 200
"""Of which one has to be wanted; else the sampler proposes, which learns from trials that cost too much."""


def draw(search: Search, tried: Container[str], *, least: float, seed: int | None) -> dict[str, Value] | None:
    """Return a setting that keeps the limits, uses enough of them, and is new; None if none was found.

    Args:
        search: What is wanted.
        tried: Digests of the networks that were tried before.
        least: Share of some limit that has to be used.
        seed: Of the draws; None: another one every time.
    """
    rng = np.random.default_rng(seed)
    knobs, limits = search.student.space.knobs(), search.student.limits
    for _ in range(MOST_DRAWS):
        setting = {name: values[rng.integers(len(values))] for name, values in knobs.items()}
        network = search.network(setting)
        if network.digest in tried:
            continue
        cost = search.table.predict(network)
        if limits.use(cost) >= least and not limits.excesses(cost):
            return setting
    return None
