"""A search as one of its workers sees it: what is asked, and how networks are made, timed and trained."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pydantic import ValidationError

from edgekd.core.profile import PROFILES
from edgekd.core.schedule import Schedule
from edgekd.core.store import Runner
from edgekd.data.dataset import DataSpec
from edgekd.errors import SpecError
from edgekd.quant.student import QuantizeSpec
from edgekd.search.latency_table import LatencyTable
from edgekd.search.limits import Cost
from edgekd.search.record import TrialRecord
from edgekd.search.search_spec import SearchStudentSpec
from edgekd.search.space import Setting
from edgekd.search.study import REPEATS, setting_of
from edgekd.search.train_candidate import Candidate, CandidateTraining, train_candidate
from edgekd.tasks.classification import TaskSpec
from edgekd.tasks.metric import Metric
from edgekd.teacher.several import Heard, HeardSpec
from edgekd.train.options import TrainSpec
from edgekd.zoo.network import NetworkSpec

if TYPE_CHECKING:
    import optuna


@dataclass(frozen=True)
class Teaching:
    """What every candidate is trained with.

    Attributes:
        teacher: Who is imitated; None: the labels alone teach.
        teacher_spec: How the teacher was made.
        quantize: Bits and profile.
        data: Images and labels.
        task: What labels mean.
        training: What all training has in common.
        seed: Of initial weights and of the order of images.
    """

    teacher: Heard | None
    teacher_spec: HeardSpec | None
    quantize: QuantizeSpec
    data: DataSpec
    task: TaskSpec
    training: TrainSpec
    seed: int


@dataclass(frozen=True)
class Search:
    """One search, as one of its workers sees it.

    Attributes:
        student: What is asked.
        teaching: What candidates are trained with.
        table: What they cost.
        run: Where candidates are kept.
        correction: What latencies that the table predicts are multiplied by.
    """

    student: SearchStudentSpec
    teaching: Teaching
    table: LatencyTable
    run: Runner
    correction: float = 1.0

    @property
    def multiple(self) -> int:
        """What widths are rounded to."""
        return PROFILES[self.teaching.quantize.profile].channel_multiple

    @property
    def objectives(self) -> int:
        """How many values a trial has: its score and, where the fastest is wanted, its speed."""
        return 2 if self.student.wants_the_fastest else 1

    @property
    def predicts(self) -> bool:
        """Whether costs are predicted from the table; else networks are measured as a whole."""
        return self.table.adds_up(self.network(self.student.space.smallest()))

    def network(self, setting: Setting) -> NetworkSpec:
        """Return the network of a setting."""
        return self.student.space.network_of(setting, multiple=self.multiple)

    def predict(self, network: NetworkSpec) -> Cost:
        """Return what a network will cost, as far as the table knows."""
        cost = self.table.predict(network)
        return cost.model_copy(update={"p50_ms": cost.p50_ms * self.correction})

    def candidate(self, network: NetworkSpec, epochs: int, *, start: Candidate | None = None) -> Candidate:
        """Train a network for some epochs, or find it in the store."""
        student, teaching = self.student, self.teaching
        schedule = Schedule(epochs=epochs, learning_rate=student.training.learning_rate)
        how = CandidateTraining(
            float_schedule=schedule,
            quantized_schedule=student.judging,
            temperature=student.temperature,
            alpha=student.alpha,
        )
        return self.run.run(
            train_candidate, network, student.weights, start, teaching.teacher, teaching.teacher_spec, how,
            teaching.quantize, teaching.data, teaching.task, teaching.training, teaching.seed,
        )  # fmt: skip

    def records(self, study: "optuna.Study", *, rung: int | None = None) -> list[TrialRecord]:
        """Return the trials that were not lost; with ``rung`` those that reached it, as they stood there.

        Raises:
            SpecError: If the study, which others may write, holds a trial that no search wrote.
        """
        return [
            record
            for trial in study.get_trials(deepcopy=False)
            if trial.state.name != "FAIL" and "cost" in trial.user_attrs and REPEATS not in trial.user_attrs
            for record in [self._record(trial, rung)]
            if rung is None or record.metric is not None
        ]

    def _record(self, trial: "optuna.trial.FrozenTrial", rung: int | None) -> TrialRecord:
        try:
            return self._read(trial, rung)
        except (LookupError, TypeError, ValidationError) as e:
            what = f"trial {trial.number} of the study is none of this search's: {type(e).__name__}"
            fix = "name a database that nobody else writes"
            raise SpecError(what, where="student.storage", fix=fix) from e

    def _read(self, trial: "optuna.trial.FrozenTrial", rung: int | None) -> TrialRecord:
        setting = setting_of(trial, self.student.space.knobs())
        reached = [at for at in range(len(self.student.rungs)) if f"rung{at}" in trial.user_attrs]
        at = (reached[-1] if reached else None) if rung is None else rung if rung in reached else None
        return TrialRecord(
            number=trial.number,
            name=self.network(setting).title,
            setting=dict(setting),
            predicted=Cost.model_validate(trial.user_attrs["cost"]),
            epochs=0 if at is None else self.student.rungs[at],
            metric=None if at is None else Metric.model_validate(trial.user_attrs[f"rung{at}"]),
        )
