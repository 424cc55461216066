"""What a search space is: knobs with a few values each, and the network that a setting of them stands for."""

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping

import numpy as np

from edgekd.core.spec_base import Spec
from edgekd.zoo.network import NetworkSpec

Value = int | float
Setting = Mapping[str, Value]
"""A value for every knob."""


class SearchSpace(Spec, ABC):
    """Networks to choose from, as a pipeline file names them.

    Attributes:
        kind: The word in the pipeline file.
    """

    kind: str

    @property
    def brings_weights(self) -> bool:
        """Whether its networks come with trained weights."""
        return False

    @property
    def takes_weights(self) -> bool:
        """Whether given weights fit its networks."""
        return False

    @abstractmethod
    def knobs(self) -> dict[str, tuple[Value, ...]]:
        """Return the values of every knob, from the one that makes the smallest network upwards."""

    @abstractmethod
    def network_of(self, setting: Setting, *, multiple: int) -> NetworkSpec:
        """Return the network of a setting.

        Args:
            setting: A value for every knob.
            multiple: What widths are rounded to.
        """

    def smallest(self) -> dict[str, Value]:
        """Return the setting of the smallest network."""
        return {name: values[0] for name, values in self.knobs().items()}

    def largest(self) -> dict[str, Value]:
        """Return the setting of the largest network."""
        return {name: values[-1] for name, values in self.knobs().items()}

    def draw(self, rng: np.random.Generator) -> dict[str, Value]:
        """Return a setting whose every knob is drawn evenly from its values."""
        return {name: values[rng.integers(len(values))] for name, values in self.knobs().items()}

    def size(self) -> int:
        """Return the number of settings."""
        return math.prod(len(values) for values in self.knobs().values())


def ascending(values: tuple[Value, ...]) -> tuple[Value, ...]:
    """Return values without repetition, smallest first."""
    return tuple(sorted(set(values)))


def rounded(channels: float, multiple: int) -> int:
    """Round a width to a multiple, and to one at least.

    Example:
        >>> rounded(12, 8), rounded(11.9, 8), rounded(1, 8)
        (16, 8, 8)
    """
    return max(multiple, int(channels / multiple + 0.5) * multiple)
