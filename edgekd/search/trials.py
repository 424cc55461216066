"""Trials: a setting is predicted, and trained from rung to rung for as long as it is among the best."""

import time
from datetime import timedelta
from typing import TYPE_CHECKING

from edgekd.core.progress import note
from edgekd.errors import TrainError
from edgekd.search.draws import draw
from edgekd.search.feasible import least_share
from edgekd.search.halving import Standing, goes_on
from edgekd.search.limits import Cost, Limits
from edgekd.search.record import STARTUP, score
from edgekd.search.search import Search
from edgekd.search.study import (
    NETWORK,
    REPEATS,
    finished_before,
    is_tried_elsewhere,
    networks_tried,
    optuna_package,
    run_trials,
    sampler,
    sampler_of,
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
    least = least_share(search)

    def objective(trial: "optuna.Trial") -> tuple[float, ...]:
        nonlocal mine
        values = _try(search, trial, study, least=least)
        if REPEATS not in trial.user_attrs:
            mine += 1
            _tell(search, study, trial.number, seconds_each=(time.monotonic() - started) / mine)
        return values

    def make_sampler(finished: int, seed: int | None) -> "optuna.samplers.BaseSampler":
        if student.sampler == "random" or finished < STARTUP:
            tried = networks_tried(study)
            setting = draw(search, tried, least=least, seed=seed) or draw(search, tried, least=0, seed=seed)
            if setting is not None:
                return sampler_of(setting, student.space.knobs())
        return sampler(student.sampler, seed=seed)

    run_trials(
        study,
        objective,
        trials=student.trials_asked,
        make_sampler=make_sampler,
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
    asked = search.student.trials_asked
    left_s = seconds_each * (asked - len(records))
    note(
        f"search {len(records)}/{asked}: {this.name}, {this.predicted.p50_ms:.3g} ms: "
        f"{this.metric.name} {this.metric.value:.4g} after {this.epochs} epochs; best {best.name} "
        f"{best.metric.value:.4g} after {best.epochs}; {timedelta(seconds=round(max(0.0, left_s)))} left"
    )


def _try(search: Search, trial: "optuna.Trial", study: "optuna.Study", *, least: float) -> tuple[float, ...]:
    """Predict what a setting costs; train it from rung to rung, for as long as it is among the best.

    It is not trained if it costs too much, or uses less than ``least`` of the limits and others use more.
    """
    student = search.student
    network = search.network(suggest(trial, student.space.knobs()))
    cost = search.predict(network)
    _tell_sampler(trial, student.limits, cost, least=least)
    if before := finished_before(study, network.digest):
        return _repeat(trial, before)
    trial.set_user_attr(NETWORK, network.digest)
    if is_tried_elsewhere(study, network.digest, number=trial.number):
        raise optuna_package().TrialPruned
    trial.set_user_attr("cost", cost.model_dump())
    if student.limits.excesses(cost) or _is_passed_over(search, study, cost, least=least):
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
    if before := finished_before(study, network.digest):  # another worker began it at the same moment
        return _repeat(trial, before)
    return standing[: search.objectives]


def _tell_sampler(trial: "optuna.Trial", limits: Limits, cost: Cost, *, least: float) -> None:
    """Tell the sampler how far a cost is from what is wanted."""
    for limit, share in limits.shares(cost).items():
        trial.set_constraint(limit, share - 1)
    trial.set_constraint("least_use", least - limits.use(cost))


def _repeat(trial: "optuna.Trial", before: "optuna.trial.FrozenTrial") -> tuple[float, ...]:
    trial.set_user_attr(REPEATS, before.number)
    return tuple(before.values)


def _is_passed_over(search: Search, study: "optuna.Study", cost: Cost, *, least: float) -> bool:
    """Whether a network uses little, and one that uses more has not been tried yet."""
    if search.student.limits.use(cost) >= least:
        return False
    return draw(search, networks_tried(study), least=least, seed=search.teaching.seed) is not None


def _goes_on(search: Search, study: "optuna.Study", number: int, rung: int, mine: Standing) -> bool:
    peers = [record.standing for record in search.records(study, rung=rung) if record.number != number]
    shown = [peer[: search.objectives] for peer in peers]
    return goes_on(mine[: search.objectives], shown, keep=search.student.keep)
