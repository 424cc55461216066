"""The gates ``integer_coverage`` and ``fidelity``: what the graph that runs really computes.

Both count exactly, so the value decides. Where there is nothing to count, nothing is proved: an error.
"""

from collections.abc import Iterator
from typing import Literal

from pydantic import Field

from edgekd.errors import DataError
from edgekd.gate.case import Case
from edgekd.gate.gate import GateSpec
from edgekd.gate.subject import NotApplicableError
from edgekd.report.schema import GateResult
from edgekd.report.target_schema import Fallback
from edgekd.report.words import native_words


class IntegerCoverageSpec(GateSpec):
    """Operators of the optimised graph that run in float.

    Attributes:
        min_share: Least share of operators that run in integers, 0..1.
        max_float_ops: Most operators in float.
        max_unlisted: Most of them that are not on the closed list of those that may be float.
    """

    kind: Literal["integer_coverage"] = "integer_coverage"
    min_share: float | None = Field(default=None, ge=0, le=1)
    max_float_ops: int | None = Field(default=None, ge=0)
    max_unlisted: int | None = Field(default=None, ge=0)

    def judge(self, case: Case) -> Iterator[GateResult]:
        """Decide on the counts."""
        found = case.subject.coverage()
        total = found.integer_ops + found.float_ops
        if not total:
            raise _nothing(case, "it has no operator", "give an engine that computes something")
        if self.min_share is not None:
            text = f"{found.integer_ops} of {total} operators in integers{_first(found.fallbacks)}"
            yield self.decided(case, "min_share", found.integer_ops / total, text, unit="fraction")
        if self.max_float_ops is not None:
            text = f"of {total} operators, in float{_first(found.fallbacks)}"
            yield self.decided(case, "max_float_ops", found.float_ops, text, unit="count")
        if self.max_unlisted is not None:
            unlisted = found.unlisted
            text = f"of {total} operators, in float and not on the list{_first(unlisted)}"
            yield self.decided(case, "max_unlisted", len(unlisted), text, unit="count")


class FidelitySpec(GateSpec):
    """Values in which the engine differs from exact arithmetic, or from what was trained.

    Attributes:
        max_oracle_mismatches: Most values of integer operators that are not exact: set it to 0.
        max_layer_off_by_more: Most values of layers that differ from the trained student's by more than a tie
            explains: set it to 0. A model file alone has no trained student.
        max_native_differences: Most values that an emulated CPU computes otherwise than this machine's own; 0
            demands the same bits. Sums of residual branches differ on ARM.
    """

    kind: Literal["fidelity"] = "fidelity"
    max_oracle_mismatches: int | None = Field(default=None, ge=0)
    max_layer_off_by_more: int | None = Field(default=None, ge=0)
    max_native_differences: int | None = Field(default=None, ge=0)

    def judge(self, case: Case) -> Iterator[GateResult]:
        """Decide on the counts."""
        found = case.subject.fidelity()
        if self.max_oracle_mismatches is not None:
            if not case.subject.exact:
                raise _own_arithmetic(case, "has no integer oracle")
            if not found.oracle_values:
                what = "no operator of it has an exact integer form: nothing was compared"
                raise _nothing(case, what, "edgekd inspect says why its operators are float")
            text = f"of {found.oracle_values:,} values, not as exact arithmetic"
            text += f", first in {found.first_mismatch}" if found.first_mismatch else ""
            yield self.decided(case, "max_oracle_mismatches", found.oracle_mismatches, text, unit="count")
        if self.max_layer_off_by_more is not None:
            if not found.layer_tensors and not case.subject.exact:
                raise _own_arithmetic(case, "shows the codes of no layer")
            if not found.layer_tensors:
                fix = (
                    "give the folder of edgekd compress or edgekd.export, or leave max_layer_off_by_more out"
                )
                raise _nothing(case, "no layer was compared: the trained student is not there", fix)
            text = f"values in {found.layer_tensors} tensors, not as in the trained student"
            yield self.decided(case, "max_layer_off_by_more", found.layer_off_by_more, text, unit="count")
        if self.max_native_differences is not None:
            native = case.subject.native()
            text = native_words(native)
            yield self.decided(case, "max_native_differences", native.differences, text, unit="count")


def _first(fallbacks: tuple[Fallback, ...]) -> str:
    return f", first {fallbacks[0].node} ({fallbacks[0].op}): {fallbacks[0].reason}" if fallbacks else ""


def _own_arithmetic(case: Case, what: str) -> NotApplicableError:
    fix = "limit agreement and accuracy, or name another target in the gate"
    return NotApplicableError(f"{case.subject.kind} {what}", where=str(case.subject.where), fix=fix)


def _nothing(case: Case, what: str, fix: str) -> DataError:
    return DataError(f"{case.subject.name}: {what}", where=str(case.subject.where), fix=fix)
