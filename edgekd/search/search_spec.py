"""The ``student`` section of a search: what to choose from, what it may cost, and how much is tried."""

import os
import re
from typing import Any, Literal, Self

from pydantic import Field, field_validator, model_validator

from edgekd.core.schedule import Schedule
from edgekd.errors import SpecError
from edgekd.search.limits import Limits
from edgekd.search.space import SearchSpace
from edgekd.tasks.classification import ClassificationSpec, TaskSpec
from edgekd.zoo.network import NetworkSpec
from edgekd.zoo.student import StudentSpec

POSTGRES = "postgresql://"


class SearchStudentSpec(StudentSpec):
    """The architecture is searched for.

    Attributes:
        space: The networks to choose from.
        limits: What the student has to keep.
        trials: Networks that are trained; those that cost too much are not, and do not count.
        least_use: Of some limit, as a fraction: networks that use less of all are passed over while there are
            others, for accuracy mostly grows with cost; where the largest network does not reach a limit,
            that much of what it uses. Not where the fastest student is wanted, nor for pruned networks.
        sampler: ``random`` draws settings evenly from those that are wanted; ``tpe`` does so for ten trials,
            and learns from all what is worth trying next (Bergstra et al. 2011).
        rungs: Epochs after which trials are compared: successive halving (Jamieson & Talwalkar 2016,
            arXiv:1502.07943), as each trial comes by (Li et al. 2018, arXiv:1810.05934).
        keep: One trial of so many goes on from a rung to the next.
        finalists: The best, which are trained by the full schedule, ``training``.
        judging: Training with fake quantization before a trial is judged; without it calibrated grids are,
            which say little below 8 bits.
        temperature: T of the teacher's probabilities, which trials imitate in float.
        alpha: Weight of the teacher's word against the labels', 0..1.
        checked: Networks drawn at random whose predicted latency is compared with their measured one.
        storage: Of the study: empty keeps it in the store, for one process; ``postgresql://...`` shares it
            with workers on any number of machines; ``$NAME`` is a variable that holds such an address.
    """

    kind: Literal["search"] = "search"
    space: SearchSpace
    limits: Limits
    training: Schedule
    trials: int = Field(default=24, ge=1)
    least_use: float = Field(default=0.8, ge=0, lt=1)
    sampler: Literal["tpe", "random"] = "tpe"
    rungs: tuple[int, ...] = Field(default=(1, 3), min_length=1)
    keep: int = Field(default=3, ge=2)
    finalists: int = Field(default=2, ge=1)
    judging: Schedule | None = None
    temperature: float = Field(default=2.0, gt=0)
    alpha: float = Field(default=0.9, ge=0, le=1)
    checked: int = Field(default=20, ge=0)
    storage: str = ""

    @field_validator("rungs")
    @classmethod
    def _ascend(cls, rungs: tuple[int, ...]) -> tuple[int, ...]:
        if list(rungs) != sorted(set(rungs)) or rungs[0] < 1:
            msg = f"rungs are epochs in rising order, from 1: {list(rungs)} are not"
            raise ValueError(msg)
        return rungs

    @field_validator("storage")
    @classmethod
    def _is_a_variable_or_holds_no_secret(cls, storage: str) -> str:
        if not storage or re.fullmatch(r"\$[A-Za-z_]\w*|postgresql://([\w.-]+@)?[\w.:-]+/[\w-]+", storage):
            return storage
        if storage.startswith(POSTGRES) and re.search("[@?]", storage.removeprefix(POSTGRES)):
            msg = (
                "storage with a password or options would stand in reports: name a variable that holds it, "
                "such as $EDGEKD_STUDY"
            )
        else:
            msg = (
                "storage is no database of PostgreSQL: write postgresql://USER@HOST/DATABASE, or name a "
                "variable that holds such an address, such as $EDGEKD_STUDY"
            )
        raise ValueError(msg)

    @model_validator(mode="after")
    def _numbers_fit(self) -> Self:
        if self.finalists > self.trials:
            msg = f"{self.finalists} finalists of {self.trials} trials: set finalists lower, or trials higher"
            raise ValueError(msg)
        if self.rungs[-1] > self.training.epochs:
            msg = (
                f"trials learn for {self.rungs[-1]} epochs (rungs) and finalists for {self.training.epochs} "
                "(training.epochs): fewer for trials, or more for finalists"
            )
            raise ValueError(msg)
        return self

    @model_validator(mode="after")
    def _weights_fit(self) -> Self:
        if self.weights is not None and not self.space.takes_weights:
            msg = f"no weights fit every network of space {self.space.kind}: leave them out"
            raise ValueError(msg)
        return self

    def unfit_task(self, task: TaskSpec) -> str:
        """Refuse an accuracy that is none."""
        least = self.limits.min_metric
        if least is not None and isinstance(task, ClassificationSpec) and not 0 < least <= 1:
            return f"limits.min_metric {least:g} is no top-1 accuracy: write a fraction, 0.9 for 90 %"
        return ""

    def unfit_bits(self, bits: int) -> str:
        """Refuse trials that are judged by calibrated grids of few bits."""
        if self.judging is None and bits < 8:
            return (
                f"calibrated grids of {bits} bits say little about a trial: set student.judging, such as "
                "{epochs: 1, learning_rate: 0.01}"
            )
        return ""

    def unfit_start(self, start: str) -> str:
        """Refuse methods that would not use what the search leaves."""
        if start == "random":
            return (
                "this form of distillation starts from random weights, and a search leaves trained ones: "
                "take another form or method, or student.kind: fixed"
            )
        return ""

    @property
    def brings_weights(self) -> bool:
        """Whether the networks of the space do."""
        return self.space.brings_weights

    @property
    def label_schedule(self) -> None:
        """None: finalists imitate the teacher."""
        return None

    @property
    def trial(self) -> Self:
        """The same search without how much is tried: what one trial depends on."""
        training = self.training.model_copy(update={"epochs": 1})
        return self.model_copy(
            update={"storage": "", "training": training, "trials": 1, "finalists": 1, "checked": 0}
        )

    @property
    def digest(self) -> str:
        """Hex sha256; where the study is kept is no part of the answer."""
        return self.model_copy(update={"storage": ""}).digest if self.storage else super().digest

    @property
    def study_url(self) -> str:
        """``storage``, or what the variable holds that it names.

        Raises:
            SpecError: If that is not set, or no address.
        """
        if not self.storage.startswith("$"):
            return self.storage
        url = os.environ.get(self.storage[1:], "")
        if not url.startswith(POSTGRES):
            what = f"{self.storage} is {'no address of PostgreSQL' if url else 'not set'}"
            fix = f"set it to {POSTGRES}USER:PASSWORD@HOST/DATABASE"
            raise SpecError(what, where="student.storage", fix=fix)
        return url

    @property
    def wants_the_fastest(self) -> bool:
        """Whether the fastest student that is accurate enough is wanted, not the most accurate one."""
        return self.limits.min_metric is not None

    @property
    def trials_asked(self) -> int:
        """``trials``, or all settings if they are fewer."""
        return min(self.trials, self.space.size())

    def network_of(self, written: dict[str, Any]) -> NetworkSpec:
        """Return the network of the setting that the search wrote."""
        return self.space.network_of(written["setting"], multiple=written["multiple"])
