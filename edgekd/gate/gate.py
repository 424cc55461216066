"""What a gate is: limits that were set beforehand, and how one is decided."""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import ClassVar, Self

from pydantic import model_validator

from edgekd.core.spec_base import Spec
from edgekd.gate.case import Case
from edgekd.report.schema import GateResult, GateState, GateUnit

DIGITS = 12
"""After the point of a difference: 0.99 - 0.985 is a drop of 0.005, not more."""


class GateSpec(Spec, ABC):
    """A gate as a gates file names it. Its keys that begin with ``min`` or ``max`` are its limits.

    Attributes:
        kind: What it looks at.
        target: Runtime, or name of the file, of the engines it is for; without one, all of them.
        over_baseline: Its limits that compare with the baseline.
        needs_engine: Whether it decides on what an engine does, not on its file.
    """

    needs_engine: ClassVar[bool] = True
    over_baseline: ClassVar[tuple[str, ...]] = ()

    kind: str
    target: str | None = None

    @classmethod
    def limits(cls) -> tuple[str, ...]:
        """Return the keys of its limits."""
        return tuple(name for name in cls.model_fields if name.startswith(("min", "max")))

    @model_validator(mode="after")
    def _sets_a_limit(self) -> Self:
        if all(getattr(self, name) is None for name in self.limits()):
            msg = f"{self.kind} sets no limit: add one of {', '.join(self.limits())}"
            raise ValueError(msg)
        return self

    def check(self, case: Case) -> None:
        """Say before any engine is looked into that it asks for what is not there.

        Raises:
            EdgeKdError: If so.
        """
        for limit in self.over_baseline:
            if getattr(self, limit) is not None:
                case.against(self.name(limit))

    @abstractmethod
    def judge(self, case: Case) -> Iterator[GateResult]:
        """Decide each limit that is set.

        Raises:
            EdgeKdError: If it asks for what the engine or its baseline does not know.
        """

    def decided(
        self,
        case: Case,
        limit: str,
        value: float,
        text: str,
        *,
        unit: GateUnit,
        interval: tuple[float, float] | None = None,
    ) -> GateResult:
        """Return what is to be said of a limit that is set.

        Args:
            case: What is judged.
            limit: Its key.
            value: What was found.
            text: What it was measured on and compared with.
            unit: Of value and limit.
            interval: Of ``value``, where it is an estimate: then the whole of it decides.
        """
        allowed = float(getattr(self, limit))
        ends = interval or (value, value)
        state = at_least(allowed, ends) if limit.startswith("min") else at_most(allowed, ends)
        if case.subject.not_run and self.needs_engine:
            state = "inconclusive"
            text = f"of its file in float; the engine was not run: {case.subject.not_run}; {text}"
        return GateResult(
            name=self.name(limit),
            engine=case.subject.name,
            limit=allowed,
            value=value,
            unit=unit,
            interval=interval,
            state=state,
            text=text,
        )

    def name(self, limit: str) -> str:
        """Return what a limit is called in results."""
        return f"{self.kind}.{limit}"


def at_most(limit: float, interval: tuple[float, float]) -> GateState:
    """Decide on an interval: passed if all of it is within the limit, failed if none of it is.

    Example:
        >>> [at_most(1.05, interval) for interval in ((1.0, 1.05), (1.06, 1.1), (1.04, 1.06))]
        ['passed', 'failed', 'inconclusive']
    """
    low, high = interval
    if high <= limit:
        return "passed"
    return "failed" if low > limit else "inconclusive"


def at_least(limit: float, interval: tuple[float, float]) -> GateState:
    """Decide as `at_most` does, for a limit from below."""
    low, high = interval
    return at_most(-limit, (-high, -low))
