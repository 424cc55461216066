"""What a gate is: limits that were set beforehand, and how one is decided."""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import ClassVar, Self

from pydantic import model_validator

from edgekd.core.spec_base import Spec
from edgekd.gate.case import Case
from edgekd.gate.subject import NotApplicableError
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

    def single(self) -> tuple[Self, ...]:
        """Return a gate for each limit that is set."""
        unset = dict.fromkeys(self.limits())
        asked = [name for name in unset if getattr(self, name) is not None]
        return tuple(self.model_copy(update={**unset, name: getattr(self, name)}) for name in asked)

    def check(self, case: Case) -> None:
        """Say before any engine is looked into that it asks for what is not there.

        Raises:
            NotApplicableError: If another engine may have it.
            EdgeKdError: If nobody has.
        """
        for limit in self.over_baseline:
            if getattr(self, limit) is not None:
                case.against(self.name(limit))

    @abstractmethod
    def judge(self, case: Case) -> Iterator[GateResult]:
        """Decide each limit that is set.

        Raises:
            NotApplicableError: If it asks for what the engine or its baseline does not know.
            EdgeKdError: If it asks for what no engine knows.
        """

    def decide(self, case: Case) -> GateResult:
        """Decide its only limit, see `single`; raises as `judge` does."""
        (found,) = self.judge(case)
        return found

    def decided(
        self,
        case: Case,
        limit: str,
        value: float | None,
        text: str,
        *,
        unit: GateUnit,
        interval: tuple[float, float] | None = None,
    ) -> GateResult:
        """Return what is to be said of a limit that is set.

        Args:
            case: What is judged.
            limit: Its key.
            value: What was found; None if nothing was, because the engine was not run.
            text: What it was measured on and compared with.
            unit: Of value and limit.
            interval: Of ``value``, where it is an estimate: then the whole of it decides.
        """
        allowed = float(getattr(self, limit))
        decide = at_least if limit.startswith("min") else at_most
        state = "inconclusive" if value is None else decide(allowed, interval or (value, value))
        if case.subject.not_run and self.needs_engine:
            state = "inconclusive"
            whose = "" if value is None else "of its file in float; "
            text = f"{whose}the engine was not run: {case.subject.not_run}; {text}"
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

    def not_applicable(self, case: Case, why: NotApplicableError) -> GateResult:
        """Return what is to be said of its only limit for an engine that cannot be asked."""
        (limit,) = (name for name in self.limits() if getattr(self, name) is not None)
        return GateResult(
            name=self.name(limit),
            engine=case.subject.name,
            limit=float(getattr(self, limit)),
            value=None,
            unit="number",
            state="not_applicable",
            text=why.what,
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
