"""Random values of the shape and type that a model takes: what a foreign model is looked into with."""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from edgekd.errors import DataError
from edgekd.runtimes.session import TensorInfo, Tensors

MOST_PROBE_VALUES = 16 * 3 * 224 * 224
"""In one input: every tensor that the model computes from it stays in memory."""


class FreeSizes(NamedTuple):
    """What stands for dimensions that a model leaves free.

    Attributes:
        first: For the first one, which mostly counts samples.
        side: For height and width of images, in pixels.
    """

    first: int = 8
    side: int = 64


TRIED = (FreeSizes(), *(FreeSizes(1, side) for side in (64, 224, 320, 640)))
"""In this order, until a model runs: it may count on sizes that it does not name."""


def random_feeds(
    inputs: Sequence[TensorInfo], sizes: FreeSizes = TRIED[0], *, seed: int = 0, where: str
) -> dict[str, NDArray[Any]]:
    """Return random values for every input; see `random_input`."""
    return {wanted.name: random_input(wanted, sizes, seed=seed, where=where) for wanted in inputs}


def different_feeds(
    inputs: Sequence[TensorInfo], tried: Sequence[FreeSizes] = TRIED, *, where: str
) -> Iterator[tuple[FreeSizes, Tensors]]:
    """Return what ``tried`` makes of some inputs, without what has the shapes of an earlier one."""
    seen = set()
    for sizes in tried:
        feeds = random_feeds(inputs, sizes, where=where)
        shapes = tuple(value.shape for value in feeds.values())
        if shapes not in seen:
            seen.add(shapes)
            yield sizes, feeds


def random_input(
    wanted: TensorInfo, sizes: FreeSizes = TRIED[0], *, seed: int = 0, where: str = ""
) -> NDArray[Any]:
    """Return random values of the shape and type that an input of a model takes.

    Pixels are uniform, floats standard normal; integers, which mostly are indices, are 0. Free dimensions
    that are neither samples nor height and width are 1; colours are 3.

    Raises:
        DataError: If the input is no tensor of numbers, or larger than `MOST_PROBE_VALUES` by far.
    """
    shape = [1 if size is None else size for size in wanted.shape]
    if len(shape) == 4:
        shape[1:] = [sizes.side if size is None else size for size in wanted.shape[1:]]
        if wanted.shape[1:] == (None, None, None):
            shape[1] = 3  # colours come first in most files
    if wanted.shape and wanted.shape[0] is None:
        shape[0] = max(1, min(sizes.first, MOST_PROBE_VALUES // max(1, int(np.prod(shape[1:])))))
    if wanted.dtype.kind not in "uifb":
        what = f"input {wanted.name} is {wanted.dtype}, not a tensor of numbers"
        raise DataError(what, where=where, fix="give a model whose inputs are tensors of numbers")
    if np.prod([float(size) for size in shape]) > 100 * MOST_PROBE_VALUES:
        what = f"input {wanted.name} has the shape {tuple(shape)}: it would fill the memory"
        raise DataError(what, where=where, fix="give a model that takes smaller inputs")
    rng = np.random.default_rng(seed)
    if wanted.dtype == np.uint8:
        return rng.integers(0, 256, shape, dtype=np.uint8)
    if wanted.dtype.kind == "f":
        return rng.standard_normal(shape).astype(wanted.dtype)
    return np.zeros(shape, wanted.dtype)
