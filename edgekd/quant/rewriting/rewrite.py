"""What rewrites share: their type, and sizes that depend on the batch."""

from collections.abc import Callable, Sequence
from typing import Any

from torch import Tensor, fx

Rewrite = Callable[..., Any]
"""Takes the arguments of the operation that it stands for, and returns its result or ``NotImplemented``."""


def flat(values: Sequence[Any]) -> list[Any]:
    """Return ``values`` with the members of those that are tuples or lists in their place."""
    return [item for value in values for item in (value if isinstance(value, tuple | list) else (value,))]


def is_number(value: Any) -> bool:
    """Whether a value is a plain number."""
    return isinstance(value, int | float)


def is_batch_size(value: Any) -> bool:
    """Whether a value is no tensor but a number that depends on the batch."""
    known: Any = value
    return isinstance(value, fx.Proxy) and not isinstance(known._values[0], Tensor)
