"""A loaded engine: what it takes, what it gives, and how to run it. The same for every runtime."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from edgekd.data.dataset import StreamedImages
from edgekd.errors import BuildError

Tensors = Mapping[str, NDArray[Any]]

DEFAULT_BATCH = 64
LARGEST_BATCH_VALUES = DEFAULT_BATCH * 3 * 224 * 224
"""In one batch of inputs where their number is free: larger images come in smaller batches."""


@dataclass(frozen=True)
class TensorInfo:
    """One input or output.

    Attributes:
        name: As in the file.
        dtype: Type of its numbers.
        shape: Sizes; None where a dimension is free.
    """

    name: str
    dtype: np.dtype[Any]
    shape: tuple[int | None, ...]


def tensor_info(name: str, dtype: str, sizes: Sequence[int | None]) -> TensorInfo:
    """Return what a board says of an input or output."""
    return TensorInfo(name, np.dtype(dtype), tuple(None if size is None else int(size) for size in sizes))


class Session(ABC):
    """An engine that a runtime has loaded. Close it, or use it in a ``with`` statement.

    Attributes:
        inputs: What it takes.
        outputs: What it gives.
    """

    inputs: Sequence[TensorInfo]
    outputs: Sequence[TensorInfo]

    @abstractmethod
    def run(self, feeds: Tensors) -> dict[str, NDArray[Any]]:
        """Run once and return every output by name.

        Raises:
            BuildError: If the runtime refuses the inputs; its own words are kept.
        """

    @abstractmethod
    def close(self) -> None:
        """Give back memory and threads; the session cannot run any more."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def fixed_batch(self) -> int | None:
        """Samples that one run takes, or None if any number will do."""
        shape = self.inputs[0].shape
        return shape[0] if shape else None

    def predict(
        self,
        images: NDArray[Any] | StreamedImages,
        *,
        output: str | None = None,
        advance: Callable[[int], None] = lambda n: None,
    ) -> NDArray[np.float32]:
        """Return one output for every image, batch by batch.

        Args:
            images: Inputs (n, ...).
            output: Its name; without one, the first.
            advance: Told after each batch how many images it had.

        Returns:
            Outputs (n, ...), float32.

        Raises:
            BuildError: If it does not give a row for each image.
        """
        per_image = max(1, int(np.prod(images.shape[1:])))
        size = self.fixed_batch or max(1, min(DEFAULT_BATCH, LARGEST_BATCH_VALUES // per_image))
        name = output or self.outputs[0].name
        chunks = []
        for start in range(0, len(images), size):
            chunk = images[start : start + size]
            outputs = self.run({self.inputs[0].name: fitting(chunk, self.fixed_batch)})
            chunks.append(_rows(outputs, name, len(chunk)))
            advance(len(chunk))
        return np.concatenate(chunks)


def _rows(outputs: Tensors, name: str, n: int) -> NDArray[Any]:
    rows = outputs.get(name)
    if rows is None or np.ndim(rows) == 0 or len(rows) < n:
        given = "nothing" if rows is None else f"an array of shape {np.shape(rows)}"
        what = f"output {name!r} has {given} for {n} images"
        raise BuildError(what, fix="its first dimension has to be that of the images")
    return rows[:n]


def fitting(images: NDArray[Any] | StreamedImages, batch: int | None) -> NDArray[Any]:
    """Return exactly ``batch`` images, repeated or cut as need be; all of them if ``batch`` is None."""
    if batch is None:
        return images[:]
    return np.resize(images[:batch], (batch, *images.shape[1:]))


def same_values(one: NDArray[Any], other: NDArray[Any]) -> bool:
    """Whether two tensors hold the same numbers exactly; what is not a number equals itself."""
    floats = np.issubdtype(one.dtype, np.floating) and np.issubdtype(other.dtype, np.floating)
    return np.array_equal(one, other, equal_nan=floats)
