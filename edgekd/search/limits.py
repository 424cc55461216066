"""What a student may cost at most, and how right it has to be."""

from collections.abc import Iterator
from dataclasses import dataclass
from math import ceil
from typing import Self

from pydantic import Field, model_validator

from edgekd.core.spec_base import Spec


class Cost(Spec):
    """What a network costs on a device, at the precision that runs there.

    Attributes:
        p50_ms: Median latency, predicted or measured.
        p90_ms: Latency that nine of ten inferences keep; None where it is only predicted: that of single
            parts says nothing about the whole.
        size_bytes: Of the engine's file.
        macs: Multiply-accumulates of one inference.
    """

    p50_ms: float
    p90_ms: float | None
    size_bytes: int
    macs: int


@dataclass(frozen=True)
class Excess:
    """A limit that is not kept.

    Attributes:
        limit: Name of the field.
        allowed: Its value.
        found: What was found instead.
    """

    limit: str
    allowed: float
    found: float

    @property
    def is_time(self) -> bool:
        """Whether it is a latency."""
        return self.limit.endswith("_ms")

    def text(self, room: float = 1.0) -> str:
        """Return what was found, times ``room``, as a file may say it: whole numbers of what is counted."""
        return f"{self.found * room:.3g}" if self.is_time else str(ceil(self.found * room))


class Limits(Spec):
    """Limits that the student has to keep on the device of the first target.

    Attributes:
        max_p50_ms: Median latency in ms.
        max_p90_ms: Latency in ms that nine of ten inferences keep.
        max_size_bytes: Of the engine's file.
        max_macs: Multiply-accumulates of one inference.
        min_metric: Metric of the integer student on the validation split, a fraction for top-1. With it, the
            search returns the fastest student that reaches it; without it, the most accurate one.
    """

    max_p50_ms: float | None = Field(default=None, gt=0)
    max_p90_ms: float | None = Field(default=None, gt=0)
    max_size_bytes: int | None = Field(default=None, ge=1)
    max_macs: int | None = Field(default=None, ge=1)
    min_metric: float | None = None

    @model_validator(mode="after")
    def _limit_something(self) -> Self:
        if not self.model_dump(exclude_none=True):
            msg = "nothing is limited: set at least one of " + ", ".join(type(self).model_fields)
            raise ValueError(msg)
        return self

    def excesses(self, cost: Cost) -> tuple[Excess, ...]:
        """Return the limits that a cost does not keep.

        A predicted cost has no p90: its median, which is below, is held against that limit.
        """
        return tuple(excess for excess in self._compare(cost) if excess.found > excess.allowed)

    def shares(self, cost: Cost) -> dict[str, float]:
        """Return the share of each limit that a cost takes; above 1 that limit is not kept."""
        return {one.limit: one.found / one.allowed for one in self._compare(cost)}

    def use(self, cost: Cost) -> float:
        """Return the largest of the shares; 0 where no cost is limited."""
        return max(self.shares(cost).values(), default=0.0)

    def _compare(self, cost: Cost) -> Iterator[Excess]:
        p90_ms = cost.p50_ms if cost.p90_ms is None else cost.p90_ms
        found = {
            "max_p50_ms": cost.p50_ms,
            "max_p90_ms": p90_ms,
            "max_size_bytes": cost.size_bytes,
            "max_macs": cost.macs,
        }
        for limit, value in found.items():
            allowed = getattr(self, limit)
            if allowed is not None:
                yield Excess(limit, allowed, value)
