"""The study: trials of one search, in a file of the store or in a database that workers share.

Optuna keeps the trials and proposes settings; what becomes of them is decided in ``trials.py``.
"""

import os
import re
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from edgekd.core.optional import require
from edgekd.core.progress import note
from edgekd.errors import EdgeKdError, SpecError
from edgekd.search.space import Setting, Value

if TYPE_CHECKING:
    import optuna

HEARTBEAT_S, GRACE_S = 10, 40
"""A worker says so often that it lives; one that was silent for so long has lost its trial to the others."""

ATTEMPTS = 3
"""To open a database."""

MOST_PROPOSED = 50
"""Settings for each trial that is asked for: where hardly any keep the limits, it ends."""

NETWORK, REPEATS = "network", "repeats"
"""Attributes of a trial: digest of its network, and the number of an earlier trial of the same one, whose
values it has; such a trial does not count."""

Knobs = dict[str, tuple[Value, ...]]


def optuna_package() -> Any:
    """Return optuna, silent.

    Raises:
        RuntimeMissing: If it is not installed.
    """
    found = require("optuna", package="optuna", extra="search")
    found.logging.set_verbosity(found.logging.ERROR)
    return found


def open_study(name: str, *, storage: str, folder: Path | None, objectives: int) -> "optuna.Study":
    """Open the study of a search, or begin it.

    Args:
        name: The same for all workers of one search, and for no other.
        storage: URL of a database; empty: a journal in ``folder``.
        folder: For the journal; None with a database.
        objectives: How many values a trial has, all to be maximised.

    Raises:
        SpecError: If the database cannot be reached.
    """
    kept = reach(storage) if storage else _journal(folder)
    found: optuna.Study = optuna_package().create_study(
        storage=kept, study_name=name, directions=["maximize"] * objectives, load_if_exists=True
    )
    return found


def reach(storage: str) -> Any:
    """Return the database behind a URL.

    Raises:
        SpecError: If it cannot be reached.
    """
    try:
        return _database(storage)
    except EdgeKdError:
        raise
    except Exception as e:  # of the driver and of the toolkit between
        host = re.fullmatch(r"\w+://(?:[^?]*@)?([\w.:-]+)(?:/[^?@]*)?", storage)  # no part of a password
        where = f" on {host[1]}" if host else ""
        what = f"the study's database{where} does not answer: {type(e).__name__}"
        fix = "start it, or correct its address; without student.storage the study is kept in the store"
        raise SpecError(what, where="student.storage", fix=fix) from None  # its text may hold a password


def _journal(folder: Path | None) -> Any:
    """Open the journal, of which this process is the only user, behind the last line that is whole."""
    assert folder is not None
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "journal.log"
    (folder / "journal.log.lock").unlink(missing_ok=True)
    if path.exists():
        lines = path.read_bytes()
        os.truncate(path, lines.rfind(b"\n") + 1)
    storages = optuna_package().storages
    return storages.JournalStorage(storages.journal.JournalFileBackend(str(path)))


def _database(url: str) -> Any:
    """Open a database; the first of several workers makes its tables, the others may come just then."""
    require("psycopg", package="psycopg", extra="search")
    for attempt in range(ATTEMPTS):
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # heartbeats are called experimental
                return optuna_package().storages.RDBStorage(
                    url.replace("postgresql://", "postgresql+psycopg://", 1),
                    heartbeat_interval=HEARTBEAT_S,
                    grace_period=GRACE_S,
                    heartbeat_stale_trial_callback=lambda study, trial: study.enqueue_trial(trial.params),
                )
        except Exception:
            if attempt + 1 == ATTEMPTS:
                raise
            time.sleep(1)
    raise AssertionError


def sampler(kind: str, *, seed: int | None) -> "optuna.samplers.BaseSampler":
    """Return what proposes settings; with a seed it is a function of it and of the finished trials."""
    samplers = optuna_package().samplers
    chosen = samplers.RandomSampler(seed=seed) if kind == "random" else samplers.TPESampler(seed=seed)
    found: optuna.samplers.BaseSampler = chosen
    return found


def sampler_of(setting: Setting, knobs: Knobs) -> "optuna.samplers.BaseSampler":
    """Return what proposes one setting."""
    samplers = optuna_package().samplers
    positions = {name: values.index(setting[name]) for name, values in knobs.items()}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it is called experimental
        found: optuna.samplers.BaseSampler = samplers.PartialFixedSampler(positions, samplers.RandomSampler())
    return found


def suggest(trial: "optuna.Trial", knobs: Knobs) -> dict[str, Value]:
    """Return the setting that the sampler proposes: of each knob the position among its values."""
    return {name: values[trial.suggest_int(name, 0, len(values) - 1)] for name, values in knobs.items()}


def setting_of(trial: "optuna.trial.FrozenTrial", knobs: Knobs) -> Setting:
    """Return the setting of a trial."""
    return {name: values[trial.params[name]] for name, values in knobs.items()}


def run_trials(
    study: "optuna.Study",
    objective: "Callable[[optuna.Trial], tuple[float, ...]]",
    *,
    trials: int,
    make_sampler: "Callable[[int, int | None], optuna.samplers.BaseSampler]",
    seed: int | None,
    wait: Callable[[], None],
) -> None:
    """Try settings until ``trials`` different ones are finished, by whichever worker, or hardly any can be.

    Args:
        study: The study.
        objective: Tries one; raises TrialPruned where it costs too much, which does not count.
        trials: How many.
        make_sampler: From the number of finished trials and a seed.
        seed: Of the search where this is its only worker: each trial is then a function of it and of the
            finished trials, also when a search goes on that was killed. None where there are more.
        wait: Called while other workers finish the last trials.
    """
    with storage_errors():
        if seed is not None:
            _give_up_running(study)
        while True:
            found = _Trials(study)
            if len(found.finished) >= trials:
                return
            exhausted = len(found.all) > MOST_PROPOSED * trials
            if exhausted and not found.begun:
                note(f"search: hardly any network is left that is wanted, {len(found.finished)} were tried")
                return
            if (exhausted or len(found.finished) + len(found.begun) >= trials) and not found.waiting:
                wait()
                _release_trials_of_the_dead(study)
                continue
            trial_seed = None if seed is None else _seed(seed, len(found.all))
            study.sampler = make_sampler(len(found.finished), trial_seed)
            _try_one(study, lambda trial: _counted(study, trial, objective, trials))


@contextmanager
def storage_errors() -> Iterator[None]:
    """Say of a study that cannot be read or written any more what to do.

    Raises:
        SpecError: Instead of the toolkit's errors, whose text may hold a password.
    """
    try:
        yield
    except Exception as e:
        lost = optuna_package().exceptions.StorageInternalError
        found = next((one for one in _chain(e) if isinstance(one, lost)), None)  # others hide it
        if found is None:
            raise
        what = f"the study's database no longer answers: {type(found.__cause__ or found).__name__}"
        fix = "start it, and run the same command again: finished trials are kept"
        raise SpecError(what, where="student.storage", fix=fix) from None


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    """Return an error and those that were handled when it was raised."""
    while error is not None:
        yield error
        error = error.__context__


def _try_one(study: "optuna.Study", objective: "Callable[[optuna.Trial], tuple[float, ...]]") -> None:
    """Try one setting; what a worker finds that was taken for dead meanwhile is left to who has its trial."""
    own: list[Exception] = []
    lost = optuna_package().exceptions.UpdateFinishedTrialError

    def watched(trial: "optuna.Trial") -> tuple[float, ...]:
        try:
            return objective(trial)
        except (optuna_package().TrialPruned, lost):
            raise
        except Exception as e:
            own.append(e)
            raise

    try:
        study.optimize(watched, n_trials=1)
    except (lost, ValueError, AssertionError):  # the toolkit's, of telling a trial that has ended
        if own:
            raise
        note(f"search: no word of this worker was heard for {GRACE_S} s, its trial is another's now")


def _seed(seed: int, number: int) -> int:
    """Return the seed of a trial: neighbouring searches share none."""
    return int(np.random.SeedSequence([seed, number]).generate_state(1)[0])


class _Trials:
    """The trials of a study that were not lost, by what became of them."""

    def __init__(self, study: "optuna.Study") -> None:
        state = optuna_package().trial.TrialState
        self.all = [trial for trial in study.get_trials(deepcopy=False) if trial.state != state.FAIL]
        self.finished = [
            trial for trial in self.all if trial.state == state.COMPLETE and REPEATS not in trial.user_attrs
        ]
        self.begun = [trial for trial in self.all if trial.state in (state.RUNNING, state.WAITING)]
        self.waiting = any(trial.state == state.WAITING for trial in self.all)


def _counted(
    study: "optuna.Study",
    trial: "optuna.Trial",
    objective: "Callable[[optuna.Trial], tuple[float, ...]]",
    trials: int,
) -> tuple[float, ...]:
    """Try a setting, unless two workers began the last one at the same time and this is the later."""
    found = _Trials(study)
    if sum(other.number < trial.number for other in found.finished + found.begun) >= trials:
        raise optuna_package().TrialPruned
    return objective(trial)


def networks_tried(study: "optuna.Study") -> set[str]:
    """Return the digests of the networks that a worker has tried, or is trying."""
    return {trial.user_attrs[NETWORK] for trial in _Trials(study).all if NETWORK in trial.user_attrs}


def finished_before(study: "optuna.Study", network: str) -> "optuna.trial.FrozenTrial | None":
    """Return the finished trial of the network with this digest; several settings may mean the same one."""
    finished = _Trials(study).finished
    return next((trial for trial in finished if trial.user_attrs.get(NETWORK) == network), None)


def is_tried_elsewhere(study: "optuna.Study", network: str, *, number: int) -> bool:
    """Whether another worker is at the network with this digest, and was there before trial ``number``."""
    running = study.get_trials(deepcopy=False, states=(optuna_package().trial.TrialState.RUNNING,))
    return any(one.number < number and one.user_attrs.get(NETWORK) == network for one in running)


def _give_up_running(study: "optuna.Study") -> None:
    """Mark the trials of a process that was killed: this is the only one that works on the study."""
    state = optuna_package().trial.TrialState
    for trial in study.get_trials(deepcopy=False, states=(state.RUNNING,)):
        study.tell(trial.number, state=state.FAIL)


def _release_trials_of_the_dead(study: "optuna.Study") -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it is called experimental
        optuna_package().storages.fail_stale_trials(study)
