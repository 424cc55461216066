"""After the trials: who is trained by the full schedule, and who becomes the student."""

from collections.abc import Sequence
from typing import NoReturn

from edgekd.core.progress import note
from edgekd.errors import SpecError
from edgekd.search.feasible import impossible
from edgekd.search.record import Finalist, TrialRecord, score, unbeaten
from edgekd.search.search import Search


def train_finalists(search: Search, trials: Sequence[TrialRecord]) -> tuple[Finalist, ...]:
    """Measure the best trials, and train those that keep the limits by the full schedule."""
    if search.student.wants_the_fastest:
        return tuple(_halve(search, unbeaten(trials)))
    found: list[Finalist] = []
    for record in sorted(trials, key=lambda trial: (trial.epochs, score(trial.metric)), reverse=True):
        if record.metric is None or _trained(found) == search.student.finalists:
            break
        found.append(_finalist(search, record))
    return tuple(found)


def _halve(search: Search, order: list[TrialRecord]) -> list[Finalist]:
    """Look for the fastest that is accurate enough by halving the frontier, the fastest first.

    Where none of those is, the most accurate one is asked last.
    """
    found: list[Finalist] = []
    low, high = 0, len(order)
    while low < high and _trained(found) < search.student.finalists:
        middle = (low + high) // 2
        found.append(_finalist(search, order[middle]))
        if found[-1].metric is None or _is_right_enough(search, found[-1]):
            high = middle
        else:
            low = middle + 1
    last = order[-1] if order else None
    if last and not any(one.number == last.number or _is_right_enough(search, one) for one in found):
        found.append(_finalist(search, last))
    return found


def _finalist(search: Search, record: TrialRecord) -> Finalist:
    network = search.network(record.setting)
    measured = search.table.measure(network)
    if search.student.limits.excesses(measured):
        note(f"search: {record.name} is too costly when it is measured, {measured.p50_ms:.3g} ms")
        return Finalist(number=record.number, measured=measured, metric=None)
    note(f"search: {record.name} is trained for {search.student.training.epochs} epochs")
    metric = search.candidate(network, search.student.training.epochs).metric()
    return Finalist(number=record.number, measured=measured, metric=metric)


def _is_right_enough(search: Search, finalist: Finalist) -> bool:
    least = search.student.limits.min_metric
    if finalist.metric is None or least is None:
        return finalist.metric is not None
    higher = finalist.metric.higher_is_better
    return finalist.metric.value >= least if higher else finalist.metric.value <= least


def choose(
    search: Search, trials: Sequence[TrialRecord], finalists: Sequence[Finalist]
) -> tuple[Finalist, str]:
    """Return the finalist that becomes the student, and why.

    Raises:
        SpecError: If none keeps the limits, with what would have to give, or none of those could be trained.
    """
    names = {trial.number: trial.name for trial in trials}
    kept = [one for one in finalists if one.metric is not None]
    right = [one for one in kept if _is_right_enough(search, one)]
    if not kept:
        _refuse_cost(search, trials, finalists)
    if not right:
        best = max(kept, key=lambda one: score(one.metric))
        raise _not_right_enough(names[best.number], best, search.student.limits.min_metric)
    finals = "the finalists" if len(right) > 1 else "one finalist"
    if search.student.wants_the_fastest:
        chosen = min(right, key=lambda one: one.measured.p50_ms)
        quality = f"the fastest of {finals} that reach {search.student.limits.min_metric:g}"
    else:
        chosen = max(right, key=lambda one: score(one.metric))
        quality = f"the most accurate of {finals} within the limits"
    assert chosen.metric is not None
    why = (
        f"{names[chosen.number]} is {quality}: {chosen.metric.name} {chosen.metric.value:.4g} on "
        f"{chosen.metric.n} validation samples, {chosen.measured.p50_ms:.3g} ms (p50)"
    )
    return chosen, why


def _refuse_cost(search: Search, trials: Sequence[TrialRecord], finalists: Sequence[Finalist]) -> NoReturn:
    if not finalists and any(not search.student.limits.excesses(trial.predicted) for trial in trials):
        what = "every network that keeps the limits was given up in training"
        fix = "lower student.training.learning_rate; the lines above say what went wrong in each"
        raise SpecError(what, where="student.training", fix=fix)
    if finalists:
        closest = min(finalists, key=lambda one: search.student.limits.use(one.measured))
        record = next(trial for trial in trials if trial.number == closest.number)
        cost = closest.measured
    else:
        record = min(trials, key=lambda trial: search.student.limits.use(trial.predicted))
        cost = record.predicted
    excesses = search.student.limits.excesses(cost)
    raise impossible(search.network(record.setting), excesses, "the network that comes nearest to them")


def _trained(finalists: Sequence[Finalist]) -> int:
    return sum(one.metric is not None for one in finalists)


def _not_right_enough(name: str, best: Finalist, least: float | None) -> SpecError:
    assert best.metric is not None
    what = (
        f"no student reaches min_metric {least:g}: the best of the finalists, {name}, has "
        f"{best.metric.name} {best.metric.value:.4g} on {best.metric.n} validation samples at "
        f"{best.measured.p50_ms:.3g} ms"
    )
    fix = "lower it, allow more cost, train longer (student.training.epochs), or try more (student.trials)"
    return SpecError(what, where="student.limits.min_metric", fix=fix)
