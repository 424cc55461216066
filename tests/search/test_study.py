"""Trials of a study on a function that is known, without networks."""

from collections.abc import Callable
from pathlib import Path

import optuna
import pytest

from edgekd.search.study import (
    MOST_PROPOSED,
    NETWORK,
    finished_before,
    is_tried_elsewhere,
    open_study,
    run_trials,
    sampler,
    sampler_of,
    suggest,
)

KNOBS: dict[str, tuple[int | float, ...]] = {"a": (1, 2, 3, 4), "b": (0.5, 1.0, 2.0)}


def never() -> None:
    raise AssertionError


def run(study: optuna.Study, objective: Callable[[optuna.Trial], tuple[float, ...]], trials: int) -> None:
    run_trials(
        study,
        objective,
        trials=trials,
        make_sampler=lambda finished, seed: sampler("tpe", seed=seed),
        seed=0,
        wait=never,
    )


def product(trial: optuna.Trial) -> tuple[float, ...]:
    setting = suggest(trial, KNOBS)
    return (setting["a"] * setting["b"],)


def numbers(study: optuna.Study) -> list[dict[str, int]]:
    return [trial.params for trial in study.trials if trial.state.name == "COMPLETE"]


def test_a_study_that_goes_on_proposes_what_one_that_was_not_interrupted_does(tmp_path: Path) -> None:
    """Ten trials are random; TPE learns from those before it proposes the others."""
    whole = open_study("s", storage="", folder=tmp_path / "whole", objectives=1)
    run(whole, product, 14)
    parts = open_study("s", storage="", folder=tmp_path / "parts", objectives=1)
    run(parts, product, 3)
    killed = parts.ask()  # as a process leaves it that is killed within a trial
    assert killed.number == 3
    again = open_study("s", storage="", folder=tmp_path / "parts", objectives=1)
    run(again, product, 14)
    assert numbers(again) == numbers(whole)
    assert len(numbers(whole)) == 14


def test_a_trial_that_costs_too_much_does_not_count(tmp_path: Path) -> None:
    def objective(trial: optuna.Trial) -> tuple[float, ...]:
        setting = suggest(trial, KNOBS)
        trial.set_constraint("cost", setting["a"] - 2)
        if setting["a"] > 2:
            raise optuna.TrialPruned
        return (setting["b"],)

    study = open_study("s", storage="", folder=tmp_path, objectives=1)
    run(study, objective, 4)
    assert len(numbers(study)) == 4
    assert {params["a"] for params in numbers(study)} <= {0, 1}


def test_where_nothing_keeps_the_limits_it_ends(tmp_path: Path) -> None:
    def objective(trial: optuna.Trial) -> tuple[float, ...]:
        suggest(trial, KNOBS)
        raise optuna.TrialPruned

    study = open_study("s", storage="", folder=tmp_path, objectives=1)
    run(study, objective, 1)
    assert len(study.trials) == MOST_PROPOSED + 1


def test_finished_before_finds_the_same_network(tmp_path: Path) -> None:
    """2 * 1.0 and 4 * 0.5 are the same to this function."""

    def objective(trial: optuna.Trial) -> tuple[float, ...]:
        values = product(trial)
        trial.set_user_attr(NETWORK, str(values))
        return values

    study = open_study("s", storage="", folder=tmp_path, objectives=1)
    study.enqueue_trial({"a": 1, "b": 1})
    run(study, objective, 1)
    again = study.ask()
    before = finished_before(study, str((4 * 0.5,)))
    assert before is not None
    assert before.values == [2.0]
    assert before.number < again.number
    assert finished_before(study, str((4.0,))) is None


def test_a_network_that_another_worker_is_at_is_known(tmp_path: Path) -> None:
    study = open_study("s", storage="", folder=tmp_path, objectives=1)
    running = study.ask()
    running.set_user_attr(NETWORK, "wide")
    assert is_tried_elsewhere(study, "wide", number=1)
    assert not is_tried_elsewhere(study, "wide", number=running.number)
    assert not is_tried_elsewhere(study, "deep", number=1)
    study.tell(running, 1.0)
    assert not is_tried_elsewhere(study, "wide", number=1)


def test_a_journal_that_was_cut_goes_on_behind_its_last_whole_line(tmp_path: Path) -> None:
    study = open_study("s", storage="", folder=tmp_path, objectives=1)
    run(study, product, 2)
    with (tmp_path / "journal.log").open("ab") as journal:
        journal.write(b'{"op_code": 4, "worker_id": "ki')
    (tmp_path / "journal.log.lock").touch()
    again = open_study("s", storage="", folder=tmp_path, objectives=1)
    run(again, product, 3)
    assert len(numbers(again)) == 3


@pytest.mark.parametrize("kind", ["tpe", "random"])
def test_a_sampler_is_a_function_of_its_seed(kind: str, tmp_path: Path) -> None:
    drawn = []
    for folder in ("a", "b"):
        study = open_study("s", storage="", folder=tmp_path / folder, objectives=2)
        study.sampler = sampler(kind, seed=7)
        drawn.append([suggest(study.ask(), KNOBS) for _ in range(3)])
    assert drawn[0] == drawn[1]


@pytest.mark.parametrize("notices", [True, False])
def test_a_trial_that_was_given_to_another_worker_is_left_to_it(tmp_path: Path, *, notices: bool) -> None:
    """As if this worker had been stopped for so long that it was taken for dead."""

    def objective(trial: optuna.Trial) -> tuple[float, ...]:
        values = product(trial)
        if trial.number == 1:
            study.tell(trial.number, state=optuna.trial.TrialState.FAIL)
            if notices:
                trial.set_user_attr("rung0", 1.0)
        return values

    study = open_study("s", storage="", folder=tmp_path, objectives=1)
    run(study, objective, 3)
    assert [trial.state.name for trial in study.trials] == ["COMPLETE", "FAIL", "COMPLETE", "COMPLETE"]


def test_a_mistake_in_a_trial_is_not_taken_for_a_lost_one(tmp_path: Path) -> None:
    def objective(trial: optuna.Trial) -> tuple[float, ...]:
        raise ValueError(trial.number)

    study = open_study("s", storage="", folder=tmp_path, objectives=1)
    with pytest.raises(ValueError, match="0"):
        run(study, objective, 3)


def test_where_hardly_anything_keeps_the_limits_the_last_to_do_so_is_waited_for(tmp_path: Path) -> None:
    """One of two trials is another worker's, nothing else is wanted: it ends when that one is finished."""
    study = open_study("s", storage="", folder=tmp_path, objectives=1)
    others = study.ask()
    waited = []

    def nothing_else(trial: optuna.Trial) -> tuple[float, ...]:
        suggest(trial, KNOBS)
        raise optuna.TrialPruned

    def wait() -> None:
        waited.append(len(study.trials))
        suggest(others, KNOBS)
        study.tell(others, 1.0)

    run_trials(
        study,
        nothing_else,
        trials=2,
        make_sampler=lambda finished, seed: sampler("random", seed=seed),
        seed=None,
        wait=wait,
    )
    assert waited == [2 * MOST_PROPOSED + 1]
    assert [trial.number for trial in study.trials if trial.state.name == "COMPLETE"] == [others.number]


def test_the_sampler_of_a_setting_proposes_it(tmp_path: Path) -> None:
    study = open_study("s", storage="", folder=tmp_path, objectives=1)
    study.sampler = sampler_of({"a": 3, "b": 0.5}, KNOBS)
    assert suggest(study.ask(), KNOBS) == {"a": 3, "b": 0.5}
