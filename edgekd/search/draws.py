"""Settings drawn evenly from those that are wanted, for as long as a sampler has nothing to go by."""

from collections.abc import Container, Iterator
from itertools import product

import numpy as np

from edgekd.search.search import Search
from edgekd.search.space import SearchSpace, Setting

MOST_LOOKED_AT = 200
"""Settings, of which one has to be wanted; else the sampler proposes, and learns from what costs too much."""


def draw(search: Search, tried: Container[str], *, least: float, seed: int | None) -> Setting | None:
    """Return a setting that keeps the limits, uses enough of them, and is new; None if none was found.

    None, too, where costs are measured and not predicted: looking at a setting is the greater work then.

    Args:
        search: What is wanted.
        tried: Digests of the networks that were tried before.
        least: Share of some limit that has to be used.
        seed: Of the draws; None: others every time.
    """
    if not search.predicts:
        return None
    limits = search.student.limits
    for setting in _settings(search.student.space, np.random.default_rng(seed)):
        network = search.network(setting)
        if network.digest in tried:
            continue
        cost = search.predict(network)
        if limits.use(cost) >= least and not limits.excesses(cost):
            return setting
    return None


def _settings(space: SearchSpace, rng: np.random.Generator) -> Iterator[Setting]:
    """Return all settings of a small space in random order; of a large one, random settings."""
    if space.size() > MOST_LOOKED_AT:
        yield from (space.draw(rng) for _ in range(MOST_LOOKED_AT))
        return
    knobs = space.knobs()
    settings = [dict(zip(knobs, values, strict=True)) for values in product(*knobs.values())]
    yield from (settings[position] for position in rng.permutation(len(settings)))
