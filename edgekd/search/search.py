"""A search at work: what a trial is, who goes on, who is trained to the end, and who is chosen."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, NoReturn

import numpy as np

from edgekd.core.profile import PROFILES
from edgekd.core.progress import note
from edgekd.core.schedule import Schedule
from edgekd.core.store import Runner
from edgekd.data.dataset import DataSpec
from edgekd.errors import SpecError, TrainError
from edgekd.quant.student import QuantizeSpec
from edgekd.search.halving import Standing, goes_on
from edgekd.search.latency_table import LatencyTable
from edgekd.search.limits import Cost, Excess
from edgekd.search.record import Finalist, TableCheck, TrialRecord, frontier, score
from edgekd.search.space import Setting, Value
from edgekd.search.student_search import SearchStudentSpec
from edgekd.search.study import (
    NETWORK,
    REPEATS,
    finished_before,
    optuna_package,
    run_trials,
    sampler,
    setting_of,
    suggest,
)
from edgekd.search.train_candidate import Candidate, CandidateTraining, train_candidate
from edgekd.tasks.classification import TaskSpec
from edgekd.tasks.metric import Metric
from edgekd.teacher.several import Heard, HeardSpec
from edgekd.train.options import TrainSpec
from edgekd.zoo.network import NetworkSpec

if TYPE_CHECKING:
    import optuna

WAIT_S = 2.0

ROOM = 1.05
"""What a limit is proposed to be, as a multiple of what was found: measurements differ by a few per cent."""


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
    """

    student: SearchStudentSpec
    teaching: Teaching
    table: LatencyTable
    run: Runner

    @property
    def multiple(self) -> int:
        """What widths are rounded to."""
        return PROFILES[self.teaching.quantize.profile].channel_multiple

    @property
    def objectives(self) -> int:
        """How many values a trial has: its score and, where the fastest is wanted, its speed."""
        return 2 if self.student.wants_the_fastest else 1

    def network(self, setting: Setting) -> NetworkSpec:
        """Return the network of a setting."""
        return self.student.space.network_of(setting, multiple=self.multiple)

    def must_be_possible(self) -> None:
        """Say at once if a limit is below what the smallest, or the fastest, network of the space has.

        Raises:
            SpecError: If so, with what would have to give.
        """
        smallest = self.student.space.smallest()
        excesses = self.student.limits.excesses(self.table.predict(self.network(smallest)))
        if large := [excess for excess in excesses if not excess.is_time]:
            raise impossible(self.network(smallest), large, "the smallest network of the space")
        if not excesses:
            return
        network = self.network(self._fastest_from(smallest))
        if slow := [one for one in self.student.limits.excesses(self.table.measure(network)) if one.is_time]:
            raise impossible(network, slow, "the fastest network of the space")

    def _fastest_from(self, setting: dict[str, Value]) -> dict[str, Value]:
        """Change one knob after the other for as long as that makes the network faster."""
        best = self.table.predict(self.network(setting)).p50_ms
        for name, values in self.student.space.knobs().items():
            for value in values[1:]:
                changed = {**setting, name: value}
                p50_ms = self.table.predict(self.network(changed)).p50_ms
                if p50_ms >= best:
                    break
                setting, best = changed, p50_ms
        return setting

    def check_table(self) -> tuple[TableCheck, ...]:
        """Compare predicted with measured latency of networks drawn at random; none where they are one."""
        if not self.table.adds_up(self.network(self.student.space.smallest())):
            return ()
        rng = np.random.default_rng(self.teaching.seed)
        knobs, found = self.student.space.knobs(), []
        for index in range(self.student.checked):
            setting = {name: values[rng.integers(len(values))] for name, values in knobs.items()}
            network = self.network(setting)
            predicted, measured = self.table.predict(network), self.table.measure(network)
            found.append(
                TableCheck(name=network.title, predicted_ms=predicted.p50_ms, measured_ms=measured.p50_ms)
            )
            note(
                f"latency table {index + 1}/{self.student.checked}: {network.title}: predicted "
                f"{predicted.p50_ms:.3g} ms, measured {measured.p50_ms:.3g} ms"
            )
        return tuple(found)

    def try_networks(self, study: "optuna.Study", *, alone: bool) -> None:
        """Work on the study until its trials are finished.

        Args:
            study: Shared by all workers.
            alone: Whether this is the only one.
        """
        student, started, mine = self.student, time.monotonic(), 0

        def objective(trial: "optuna.Trial") -> tuple[float, ...]:
            nonlocal mine
            values = self._try(trial, study)
            if REPEATS not in trial.user_attrs:
                mine += 1
                self._tell(study, trial.number, seconds_each=(time.monotonic() - started) / mine)
            return values

        run_trials(
            study,
            objective,
            trials=min(student.trials, student.space.size()),
            make_sampler=lambda seed: sampler(student.sampler, seed=seed),
            seed=self.teaching.seed if alone else None,
            wait=lambda: time.sleep(WAIT_S),
        )

    def _tell(self, study: "optuna.Study", number: int, *, seconds_each: float) -> None:
        """Say how far the trials are, what the best one is and how long the others may take."""
        records = [record for record in self.records(study) if record.metric is not None]
        this = next(record for record in records if record.number == number)
        best = max(records, key=lambda record: (record.epochs, score(record.metric)))
        assert this.metric is not None
        assert best.metric is not None
        left_s = seconds_each * (self.student.trials - len(records))
        note(
            f"search {len(records)}/{self.student.trials}: {this.name}, {this.predicted.p50_ms:.3g} ms: "
            f"{this.metric.name} {this.metric.value:.4g} after {this.epochs} epochs; best {best.name} "
            f"{best.metric.value:.4g} after {best.epochs}; {timedelta(seconds=round(max(0.0, left_s)))} left"
        )

    def _try(self, trial: "optuna.Trial", study: "optuna.Study") -> tuple[float, ...]:
        """Predict what a setting costs; train it from rung to rung, for as long as it is among the best."""
        student = self.student
        network = self.network(suggest(trial, student.space.knobs()))
        if before := finished_before(study, network.digest):
            trial.set_user_attr(REPEATS, before.number)
            return tuple(before.values)
        trial.set_user_attr(NETWORK, network.digest)
        cost = self.table.predict(network)
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
                candidate = self.candidate(network, more, start=candidate)
            except TrainError as e:
                note(f"search: {network.title} is given up: {e.what}")
                raise optuna_package().TrialPruned from e
            metric = candidate.metric()
            standing = (score(metric), -cost.p50_ms)
            trial.set_user_attr(f"rung{rung}", metric.model_dump())
            if not self._goes_on(study, trial.number, rung, standing):
                break
        return standing[: self.objectives]

    def _goes_on(self, study: "optuna.Study", number: int, rung: int, mine: Standing) -> bool:
        peers = [record.standing for record in self.records(study, rung=rung) if record.number != number]
        shown = [peer[: self.objectives] for peer in peers]
        return goes_on(mine[: self.objectives], shown, keep=self.student.keep)

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
        """Return the trials that were not lost; with ``rung`` those that reached it, as they stood there."""
        return [
            record
            for trial in study.get_trials(deepcopy=False)
            if trial.state.name != "FAIL" and "cost" in trial.user_attrs
            for record in [self._record(trial, rung)]
            if rung is None or record.metric is not None
        ]

    def _record(self, trial: "optuna.trial.FrozenTrial", rung: int | None) -> TrialRecord:
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

    def finalists(self, trials: Sequence[TrialRecord]) -> tuple[Finalist, ...]:
        """Measure the best trials, and train those that keep the limits by the full schedule."""
        if self.student.wants_the_fastest:
            return tuple(self._halve(frontier(trials)))
        found: list[Finalist] = []
        for record in sorted(trials, key=lambda trial: (trial.epochs, score(trial.metric)), reverse=True):
            if record.metric is None or _trained(found) == self.student.finalists:
                break
            found.append(self._finalist(record))
        return tuple(found)

    def _halve(self, order: list[TrialRecord]) -> list[Finalist]:
        """Look for the fastest that is accurate enough by halving the frontier, the fastest first.

        Where none of those is, the most accurate one is asked last.
        """
        found: list[Finalist] = []
        low, high = 0, len(order)
        while low < high and _trained(found) < self.student.finalists:
            middle = (low + high) // 2
            found.append(self._finalist(order[middle]))
            if found[-1].metric is None or self._is_right_enough(found[-1]):
                high = middle
            else:
                low = middle + 1
        last = order[-1] if order else None
        if last and not any(one.number == last.number or self._is_right_enough(one) for one in found):
            found.append(self._finalist(last))
        return found

    def _finalist(self, record: TrialRecord) -> Finalist:
        network = self.network(record.setting)
        measured = self.table.measure(network)
        if self.student.limits.excesses(measured):
            note(f"search: {record.name} is too costly when it is measured, {measured.p50_ms:.3g} ms")
            return Finalist(number=record.number, measured=measured, metric=None)
        note(f"search: {record.name} is trained for {self.student.training.epochs} epochs")
        metric = self.candidate(network, self.student.training.epochs).metric()
        return Finalist(number=record.number, measured=measured, metric=metric)

    def _is_right_enough(self, finalist: Finalist) -> bool:
        least = self.student.limits.min_metric
        if finalist.metric is None or least is None:
            return finalist.metric is not None
        higher = finalist.metric.higher_is_better
        return finalist.metric.value >= least if higher else finalist.metric.value <= least

    def choose(self, trials: Sequence[TrialRecord], finalists: Sequence[Finalist]) -> tuple[Finalist, str]:
        """Return the finalist that becomes the student, and why.

        Raises:
            SpecError: If none keeps the limits, with what would have to give.
        """
        names = {trial.number: trial.name for trial in trials}
        kept = [one for one in finalists if one.metric is not None]
        right = [one for one in kept if self._is_right_enough(one)]
        if not kept:
            self._refuse_cost(trials, finalists)
        if not right:
            best = max(kept, key=lambda one: score(one.metric))
            raise _not_right_enough(names[best.number], best, self.student.limits.min_metric)
        if self.student.wants_the_fastest:
            chosen = min(right, key=lambda one: one.measured.p50_ms)
            quality = f"the fastest of {len(right)} finalists that reach {self.student.limits.min_metric:g}"
        else:
            chosen = max(right, key=lambda one: score(one.metric))
            quality = f"the most accurate of {len(right)} finalists within the limits"
        assert chosen.metric is not None
        why = (
            f"{names[chosen.number]} is {quality}: {chosen.metric.name} {chosen.metric.value:.4g} on "
            f"{chosen.metric.n} validation samples, {chosen.measured.p50_ms:.3g} ms (p50)"
        )
        return chosen, why

    def _refuse_cost(self, trials: Sequence[TrialRecord], finalists: Sequence[Finalist]) -> NoReturn:
        if finalists:
            closest = min(finalists, key=lambda one: max(self.student.limits.strain(one.measured).values()))
            record = next(trial for trial in trials if trial.number == closest.number)
            cost = closest.measured
        else:
            record = min(trials, key=lambda trial: max(self.student.limits.strain(trial.predicted).values()))
            cost = record.predicted
        excesses = self.student.limits.excesses(cost)
        raise impossible(self.network(record.setting), excesses, "the network that comes nearest to them")


def _trained(finalists: Sequence[Finalist]) -> int:
    return sum(one.metric is not None for one in finalists)


def impossible(network: NetworkSpec, excesses: Sequence[Excess], what_it_is: str) -> SpecError:
    """Return the error that no network keeps the limits."""
    first = excesses[0]
    over = " and ".join(f"{one.limit} is {one.allowed:,g}, it has {one.text()}" for one in excesses)
    what = f"no student keeps the limits: {network.title}, {what_it_is}, does not ({over})"
    gives = ", ".join(f"{one.limit} to {one.text(ROOM)} or more" for one in excesses)
    fix = f"set {gives}; or let the space have smaller networks, or a faster device or runtime run it"
    return SpecError(what, where=f"student.limits.{first.limit}", fix=fix)


def _not_right_enough(name: str, best: Finalist, least: float | None) -> SpecError:
    assert best.metric is not None
    what = (
        f"no student reaches min_metric {least:g}: the best of the finalists, {name}, has "
        f"{best.metric.name} {best.metric.value:.4g} on {best.metric.n} validation samples at "
        f"{best.measured.p50_ms:.3g} ms"
    )
    fix = "lower it, allow more cost, train longer (student.training.epochs), or try more (student.trials)"
    return SpecError(what, where="student.limits.min_metric", fix=fix)
