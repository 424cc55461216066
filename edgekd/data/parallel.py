"""Work on every file of a data set: on all cores, with progress, and one error that speaks for all."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache

from edgekd.board.fingerprint import usable_cores
from edgekd.core.progress import progress
from edgekd.errors import DataError

_CHUNK = 1024
_NAMED = 3


def for_each_row(work: Callable[[int], object], n: int, *, description: str) -> None:
    """Call ``work`` for 0..n-1 on all cores, with progress.

    Raises:
        DataError: The first one that ``work`` raised, with the number of the others.
    """
    errors: list[DataError] = []

    def attempt(row: int) -> DataError | None:
        try:
            work(row)
        except DataError as e:
            return e
        return None

    with progress(description, n) as advance:
        for start in range(0, n, _CHUNK):
            found = list(pool().map(attempt, range(start, min(start + _CHUNK, n))))
            errors += [error for error in found if error is not None]
            advance(len(found))
    if errors:
        raise _first_of(errors)


def _first_of(errors: Sequence[DataError]) -> DataError:
    first, others = errors[0], errors[1:]
    if not others:
        return first
    named = ", ".join(error.where for error in others[:_NAMED]) + (", ..." if len(others) > _NAMED else "")
    return DataError(f"{first.what} ({len(others)} more: {named})", where=first.where, fix=first.fix)


@cache
def pool() -> ThreadPoolExecutor:
    """Return the threads that read, hash and decode, all of which lets other threads run."""
    return ThreadPoolExecutor(usable_cores(), thread_name_prefix="data")
