"""Trials: a setting is predicted, and trained from rung to rung for as long as it is among the best."""

import time
from datetime import timedelta
from typing import TYPE_CHECKING

from edgekd.core.progress import note
from edgekd.errors import TrainError
from edgekd.search.halving import Standing, goes_on
from edgekd.search.record import score
from edgekd.search.search import Search
from edgekd.search.study import (
    NETWORK,
    REPEATS,
    finished_before,
    is_tried_elsewhere,
    optuna_package,
    run_trials,
    sampler,
    suggest,
)
from edgekd.search.train_candidate import Candidate

if TYPE_CHECKING:
    import optuna

WAIT_S = 2.0


def try_settings(search: Search, study: "optuna.Study", *, alone: bool) -> None:
    """Work on the study until its trials are finished.

    Args:
        search: What a trial is made with.
        study: Shared by all workers.
        alone: Whether this is the only one.
    """
    student, started, mine = search.student, time.monotonic(), 0

    def objective(trial: "optuna.Trial") -> tuple[float, ...]:
        nonlocal mine
        values = _try(search, trial, study)
        if REPEATS not in trial.user_attrs:
            mine += 1
            _tell(search, study, trial.number, seconds_each=(time.monotonic() - started) / mine)
        return values

    run_trials(
        study,
        objective,
        trials=min(student.trials, student.space.size()),
        make_sampler=lambda seed: sampler(student.sampler, seed=seed),
        seed=search.teaching.seed if alone else None,
        wait=lambda: time.sleep(WAIT_S),
    )


def _tell(search: Search, study: "optuna.Study", number: int, *, seconds_each: float) -> None:
    """Say how far the trials are, what the best one is and how long the others may take."""
    records = [record for record in search.records(study) if record.metric is not None]
    this = next(record for record in records if record.number == number)
    best = max(records, key=lambda record: (record.epochs, score(record.metric)))
    assert this.metric is not None
    assert best.metric is not None
    left_s = seconds_each * (search.student.trials - len(records))
    note(
        f"search {len(records)}/{search.student.trials}: {this.name}, {this.predicted.p50_ms:.3g} ms: "
        f"{this.metric.name} {this.metric.value:.4g} after {this.epochs} epochs; best {best.name} "
        f"{best.metric.value:.4g} after {best.epochs}; {timedelta(seconds=round(max(0.0, left_s)))} left"
    )


def _try(search: Search, trial: "optuna.Trial", study: "optuna.Study") -> tuple[float, ...]:
    """Predict what a setting costs; train it from rung to rung, for as long as it is among the best."""
    student = search.student
    network = search.network(suggest(trial, student.space.knobs()))
    if before := finished_before(study, network.digest):
        trial.set_user_attr(REPEATS, before.number)
        return tuple(before.values)
    trial.set_user_attr(NETWORK, network.digest)
    if is_tried_elsewhere(study, network.digest, number=trial.number):
        raise optuna_package().TrialPruned
    cost = search.table.predict(network)
    trial.set_user_attr("cost", cost.model_dump())
    for limit, strain in student.limits.strain(cost).items():
        trial.set_constraint(limit, strain)
    if student.limits.excesses(cost):
        raise optuna_package().TrialPruned
    candidate: Candidate | None = None
    standing: Standing = ()
    for rung, epochs in enumerate(student.rungs):
        more = epochs - (student.rungs[rung - 1] if rung else 0)
        try:
            candidate = search.candidate(network, more, start=candidate)
        except TrainError as e:
            note(f"search: {network.title} is given up: {e.what}")
            raise optuna_package().TrialPruned from e
        metric = candidate.metric()
        standing = (score(metric), -cost.p50_ms)
        trial.set_user_attr(f"rung{rung}", metric.model_dump())
        if not _goes_on(search, study, trial.number, rung, standing):
            break
    return standing[: search.objectives]


def _goes_on(search: Search, study: "optuna.Study", number: int, rung: int, mine: Standing) -> bool:
    peers = [record.standing for record in search.records(study, rung=rung) if record.number != number]
    shown = [peer[: search.objectives] for peer in peers]
    return goes_on(mine[: search.objectives], shown, keep=search.student.keep)
