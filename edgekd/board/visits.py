"""Visiting an opened engine: warming it up and timing its inferences, in this process."""

from __future__ import annotations

import gc
import time
from abc import ABC, abstractmethod
from contextlib import ExitStack
from typing import TYPE_CHECKING, Callable, ContextManager

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

Run = Callable[[], object]
"""Runs one inference and returns when its result is there."""

Opener = Callable[[], ContextManager[Run]]
"""Opens an engine."""

FEWEST_WARM_UPS = 5
STABLE = 0.98
"""A part of the warm-up is stable if its median is at least this fraction of that of the part before."""
LONGEST_WARM_UP = 10
"""In units of the shortest."""


class Visited(ABC):
    """An engine that is open; use it in a ``with`` statement.

    Attributes:
        opened_ms: Milliseconds that opening it took.
    """

    opened_ms: float

    @abstractmethod
    def warm_up(self, at_least_ms: float) -> NDArray[np.float64]:
        """Run until it gets no faster; return the milliseconds of each inference."""

    @abstractmethod
    def times_ms(self, repeats: int) -> NDArray[np.float64]:
        """Run once untimed, then ``repeats`` times; return the milliseconds of each."""

    @abstractmethod
    def peak_bytes(self) -> int:
        """Return the memory that it added to its process at most; 0 if that is not known."""

    @abstractmethod
    def __enter__(self) -> Visited:
        """Open it."""

    @abstractmethod
    def __exit__(self, *_: object) -> None:
        """Close it."""


class InProcess(Visited):
    """An engine in this process."""

    def __init__(self, opener: Opener) -> None:
        self._opener, self._stack = opener, ExitStack()

    def __enter__(self) -> InProcess:
        start = time.perf_counter()
        self._run = self._stack.enter_context(self._opener())
        self.opened_ms = (time.perf_counter() - start) * 1e3
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def warm_up(self, at_least_ms: float) -> NDArray[np.float64]:
        """Run in parts of a third of ``at_least_ms`` until one is not faster than the one before."""
        return warm_up(self._run, at_least_ms)

    def times_ms(self, repeats: int) -> NDArray[np.float64]:
        """Run once untimed, then ``repeats`` times, while the garbage collector rests."""
        return timed(self._run, repeats)

    def peak_bytes(self) -> int:
        """Not known: other engines are in this process too."""
        return 0


def warm_up(run: Run, at_least_ms: float) -> NDArray[np.float64]:
    """Run until it gets no faster, for ``at_least_ms`` to ten times that; return all milliseconds."""
    begun, parts = time.perf_counter(), [_part(run, at_least_ms / 3)]
    while True:
        parts.append(_part(run, at_least_ms / 3))
        spent_ms = (time.perf_counter() - begun) * 1e3
        faster = np.median(parts[-1]) < STABLE * np.median(parts[-2])
        if spent_ms >= at_least_ms * LONGEST_WARM_UP or (spent_ms >= at_least_ms and not faster):
            return np.concatenate(parts)


def _part(run: Run, at_least_ms: float) -> NDArray[np.float64]:
    times: list[float] = []
    end = time.perf_counter() + at_least_ms / 1e3
    while len(times) < FEWEST_WARM_UPS or time.perf_counter() < end:
        start_ns = time.perf_counter_ns()
        run()
        times.append((time.perf_counter_ns() - start_ns) / 1e6)
    return np.array(times)


def timed(run: Run, repeats: int) -> NDArray[np.float64]:
    """Run once untimed, then ``repeats`` times; return the milliseconds of each."""
    times = np.empty(repeats)
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        run()
        for index in range(repeats):
            start_ns = time.perf_counter_ns()
            run()
            times[index] = (time.perf_counter_ns() - start_ns) / 1e6
    finally:
        if was_enabled:
            gc.enable()
    return times
