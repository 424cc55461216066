"""What a gates file can say, and how an engine is judged by it. A new gate is one file and one line here."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, TypeVar

from pydantic import Field

from edgekd.core.spec_base import Spec, Version1
from edgekd.core.spec_file import load_spec
from edgekd.core.union import BY_KIND
from edgekd.errors import SpecError
from edgekd.gate.accuracy import AccuracySpec, AgreementSpec
from edgekd.gate.case import Case
from edgekd.gate.file_size import DownloadSpec, SizeSpec
from edgekd.gate.gate import GateSpec
from edgekd.gate.graph import FidelitySpec, IntegerCoverageSpec
from edgekd.gate.latency import LatencySpec
from edgekd.gate.model_subject import ModelSubject, Scoring
from edgekd.gate.run_subject import REPORT, run_subjects
from edgekd.gate.subject import NotApplicableError, Subject
from edgekd.report.schema import GateResult, GateState

Gate = Annotated[
    SizeSpec | DownloadSpec | AccuracySpec | AgreementSpec | LatencySpec | IntegerCoverageSpec | FidelitySpec,
    BY_KIND,
]


Answer = TypeVar("Answer")


class Gates(Spec):
    """A gates file.

    Attributes:
        version: Of the format.
        gates: What is judged, in this order.
    """

    version: Version1
    gates: tuple[Gate, ...] = Field(min_length=1)


def load_gates(path: Path) -> Gates:
    """Read a gates file.

    Raises:
        SpecError: With file, key and line of the first mistake, and how to mend it.
    """
    return load_spec(Gates, path, called="gates file", schema="gates")


def judge(
    gates: Gates, path: Path, *, baseline: Path | None = None, scoring: Scoring, target: str = ""
) -> tuple[GateResult, ...]:
    """Decide every limit of a gates file for every engine that it is for.

    Where one engine can answer and another cannot, the limit holds for the one and is not applicable to the
    other.

    Args:
        gates: The file's content.
        path: The folder of a run, or a model file.
        baseline: The same for what it is compared with.
        scoring: How a model file alone is looked into.
        target: Runtime, or name of the file, of the engines to judge; empty for all of them.

    Raises:
        EdgeKdError: If there is no such engine, or a gate asks for what no engine that it is for knows.
    """
    judged = _subjects(path, scoring)
    others = _subjects(baseline, scoring) if baseline is not None else ()
    if scoring.data is not None and not any(isinstance(one, ModelSubject) for one in (*judged, *others)):
        what = f"--data is for a model file; the accuracy of a run stands in its {REPORT}"
        raise SpecError(what, where=str(path), fix="leave --data out, or give the run's model file")
    cases = [Case(subject, _counterpart(subject, others)) for subject in judged]
    asked = _named(target, cases, where="--target") if target else cases
    limits = [
        (limit, [case for case in _cases_of(gate, cases, where=f"gates.{index}.target") if case in asked])
        for index, gate in enumerate(gates.gates)
        for limit in gate.single()
    ]
    whole = len(asked) == len(cases)
    for limit, own in limits:
        _answers(limit.check, own, whole=whole)  # all of them before the first one measures
    results = tuple(
        limit.not_applicable(case, found) if isinstance(found, NotApplicableError) else found
        for limit, own in limits
        for case, found in zip(own, _answers(limit.decide, own, whole=whole), strict=True)
    )
    if all(result.state == "not_applicable" for result in results):
        what = f"no limit can be decided for the target {target!r}"
        fix = "leave --target out, or limit what this engine can be asked"
        raise SpecError(what, where=str(path), fix=results[0].text if results else fix)
    return results


def _answers(
    ask: Callable[[Case], Answer], cases: Sequence[Case], *, whole: bool
) -> list[Answer | NotApplicableError]:
    """Return what a limit comes to for each engine, or why it is not applicable to it.

    Args:
        ask: What may say so.
        cases: The engines.
        whole: Whether they are all that the limit is for: one of them must have an answer.
    """
    found = [_answer(ask, case) for case in cases]
    refused = [answer for answer in found if isinstance(answer, NotApplicableError)]
    if whole and refused and len(refused) == len(found):
        raise refused[0]
    return found


def _answer(ask: Callable[[Case], Answer], case: Case) -> Answer | NotApplicableError:
    try:
        return ask(case)
    except NotApplicableError as e:
        return e


def overall(results: Sequence[GateResult]) -> GateState:
    """Return ``failed`` if any gate did, else ``inconclusive`` if any is."""
    states = {result.state for result in results}
    return next((state for state in ("failed", "inconclusive") if state in states), "passed")


def _subjects(path: Path, scoring: Scoring) -> Sequence[Subject]:
    if (path / REPORT).is_file():
        return run_subjects(path)
    return (ModelSubject.at(path, scoring),)


def _counterpart(subject: Subject, others: Sequence[Subject]) -> Subject | None:
    """Return the engine to compare with: of the same file name, or else the first of the same runtime."""
    alike = [other for other in others if other.kind == subject.kind]
    return next((other for other in alike if other.name == subject.name), alike[0] if alike else None)


def _cases_of(gate: GateSpec, cases: Sequence[Case], *, where: str) -> Sequence[Case]:
    return cases if gate.target is None else _named(gate.target, cases, where=where)


def _named(target: str, cases: Sequence[Case], *, where: str) -> Sequence[Case]:
    """Return the engines of a runtime, or the one of a file."""
    found = [case for case in cases if target in (case.subject.kind, case.subject.name)]
    if not found:
        words = [word for case in cases for word in (case.subject.kind, case.subject.name)]
        known = ", ".join(dict.fromkeys(words))
        what = f"there is no engine for the target {target!r}"
        raise SpecError(what, where=where, fix=f"write one of: {known}; or leave target out")
    return found
