"""The stage ``search_student``: the most accurate student within limits, or the fastest accurate enough.

Trials, finalists and rows of the latency table are stages of their own (`edgekd.core.store.inner_store`): a
search that was killed finds them again, and so does the next one.
"""

import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from edgekd.core.artifact import stage
from edgekd.core.atomic import write_json
from edgekd.core.spec_base import json_digest
from edgekd.core.store import Runner, inner_store
from edgekd.data.dataset import DataSpec
from edgekd.device.place import Place
from edgekd.errors import SpecError
from edgekd.quant.student import QuantizeSpec
from edgekd.runtimes.target import TargetSpec
from edgekd.search.choose import choose, train_finalists
from edgekd.search.feasible import least_share, prepare
from edgekd.search.latency_table import LatencyTable, identity_of
from edgekd.search.record import SearchRecord
from edgekd.search.search import Search, Teaching
from edgekd.search.search_spec import SearchStudentSpec
from edgekd.search.study import open_study, reach
from edgekd.search.time_part import time_part
from edgekd.search.train_candidate import train_candidate
from edgekd.search.trials import try_settings
from edgekd.tasks.classification import TaskSpec
from edgekd.teacher.several import Heard, HeardSpec
from edgekd.train.options import TrainSpec
from edgekd.zoo.student import NETWORK, WEIGHTS, StudentArch

if TYPE_CHECKING:
    import optuna

RECORD = "search.json"


class FoundStudent(StudentArch):
    """The architecture that a search chose, with the weights that it was trained to."""

    def record(self) -> SearchRecord:
        """Return what the search tried and why it chose."""
        return SearchRecord.model_validate(self.read_json(RECORD))


@stage(FoundStudent, version=4)
def search_student(
    folder: Path,
    student: SearchStudentSpec,
    teacher: Heard | None,
    teacher_spec: HeardSpec | None,
    quantize: QuantizeSpec,
    data: DataSpec,
    task: TaskSpec,
    training: TrainSpec,
    seed: int,
    target: TargetSpec,
    place: Place,
    identity: dict[str, str],
) -> None:
    """Search, and write the chosen architecture, its weights and the record of the search.

    ``identity`` is what the times belong to beside the place's own: it is part of the stage's key.
    """
    teaching = Teaching(teacher, teacher_spec, quantize, data, task, training, seed)
    store = inner_store()
    search = begin(student, teaching, target, place, store)
    study = _study(search, folder / "scratch")
    search, checks = prepare(search, study)
    try_settings(search, study, alone=not student.storage)
    trials = search.records(study)
    finalists = train_finalists(search, trials)
    chosen, why = choose(search, trials, finalists)
    setting = next(trial.setting for trial in trials if trial.number == chosen.number)
    best = search.candidate(search.network(setting), student.training.epochs)
    store.finish()
    shutil.copyfile(best.path(WEIGHTS), folder / WEIGHTS)
    write_json(folder / NETWORK, {"setting": setting, "multiple": search.multiple})
    record = SearchRecord(
        space=student.space.kind,
        space_size=student.space.size(),
        sampler=student.sampler,
        limits=student.limits,
        least_use=least_share(search),
        device=identity,
        checks=checks,
        trials=tuple(trials),
        finalists=finalists,
        chosen=chosen.number,
        why=why,
    )
    write_json(folder / RECORD, record.model_dump(mode="json"))


def join(
    student: SearchStudentSpec, teaching: Teaching, target: TargetSpec, place: Place, run: Runner
) -> None:
    """Work on the trials of a shared study until all of them are finished.

    Raises:
        SpecError: If the study is about another device.
    """
    search = begin(student, teaching, target, place, run)
    study = _study(search, None)
    search, _ = prepare(search, study)
    try_settings(search, study, alone=False)


def _study(search: Search, folder: Path | None) -> "optuna.Study":
    """Open the study, which is about one device."""
    student, device = search.student, identity_of(search.table.place)
    study = open_study(
        study_name(search),
        storage=student.study_url,
        folder=folder,
        objectives=search.objectives,
    )
    first = study.user_attrs.get("device")
    if first is None:
        study.set_user_attr("device", device)
    elif first != device:
        names = [", ".join(filter(None, one.values())) for one in (first, device)]
        what = f"the study measures on {names[0]}; here targets.0 is on {names[1]}"
        fix = "name one device for all workers, such as an ssh board: targets.0.device"
        raise SpecError(what, where="targets.0.device", fix=fix)
    return study


def begin(
    student: SearchStudentSpec, teaching: Teaching, target: TargetSpec, place: Place, run: Runner
) -> Search:
    """Return a search, as one of its workers sees it."""
    table = LatencyTable(teaching.quantize, target, place, teaching.data.info(), run)
    return Search(student, teaching, table, run)


def check_search(student: SearchStudentSpec, data: DataSpec) -> None:
    """Say before the long work what a search lacks.

    Raises:
        SpecError: If there are no rows to select on, or a shared study cannot be reached.
    """
    if len(data.split("validation")) == 0:
        what = "a search selects on validation rows, and the data have none"
        fix = "hold some out of train: data.validation_samples, or data.validation_fraction"
        raise SpecError(what, where="data", fix=fix)
    if student.storage:
        reach(student.study_url)


def study_name(search: Search) -> str:
    """Return the name under which all workers of one search find its study, and no others do.

    It stands for what a trial depends on; how many there are, and what is done with them, is left out.
    """
    teaching, table = search.teaching, search.table
    heard = teaching.teacher_spec
    specs = heard if isinstance(heard, tuple) else (heard,)
    asked = [search.student.trial, *specs, teaching.quantize, teaching.data, teaching.task, teaching.training]
    digests = [None if spec is None else spec.digest for spec in (*asked, table.target)]
    stages = (search_student, train_candidate, time_part)
    versions = [*(stage.version for stage in stages), table.place.runtime_version]
    return f"edgekd-{json_digest([*digests, *versions, teaching.seed])[:16]}"
