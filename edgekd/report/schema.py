"""report.json: everything that a run can claim. Gates, tests, benchmarks and both reports read only this.

Fractions are 0..1, times are in ms, sizes in bytes. Intervals are (low, high), of metrics at 95 %,
of latency ratios at 99 %.
"""

import json
from pathlib import Path
from typing import Annotated, Any, Final, Literal, Self

from pydantic import AwareDatetime, Field, ValidationError

from edgekd.core.atomic import write_text
from edgekd.core.machine import Machine
from edgekd.core.spec_base import Spec
from edgekd.errors import StoreError
from edgekd.report.target_schema import TargetReport
from edgekd.search.record import SearchRecord
from edgekd.tasks.metric import Metric

SCHEMA_VERSION: Final = 1
MOST_DIGITS = 18
"""Of a whole number."""

GateState = Literal["passed", "failed", "inconclusive", "not_applicable"]
GateUnit = Literal["bytes", "count", "fraction", "ms", "number", "ratio"]


class DataReport(Spec):
    """The data set and the sizes of its splits."""

    kind: str
    train_n: int
    validation_n: int
    test_n: int
    classes: int


class TeacherReport(Spec):
    """A network that teaches.

    Attributes:
        name: Its architecture.
        params: Number of weights.
        macs: Multiply-accumulates of one inference.
        size_bytes: Size of its float ONNX file.
        metric: On the test split.
        share: Its fraction of what the student, or the first assistant, hears of teachers: less than 1 of
            several, 0 where the method trains a new one from random weights in its place.
    """

    name: str
    params: int
    macs: int
    size_bytes: int
    metric: Metric
    share: float = 1.0


class Bits(Spec):
    """Bit widths of the student; the first and last layer and the residual stream are fields of their own."""

    weights: int
    activations: int
    first_layer: int
    last_layer: int
    residual: int


class Quantizers(Spec):
    """Kinds of quantizers of the student: a layer whose bits its kind does not have, has another."""

    weights: str
    activations: str
    first_layer: str
    last_layer: str


class FloatLayer(Spec):
    """A layer of the student that was left in float, and why."""

    name: str
    reason: str


class PtqMethod(Spec):
    """One way to quantize without training.

    Attributes:
        method: Its name.
        metric_fake_quant: On the test split; nothing decides on it.
        logit_mse: Mean squared difference of its logits from the float student's.
    """

    method: str
    metric_fake_quant: Metric
    logit_mse: float


class Ptq(Spec):
    """The methods of post-training quantization that were tried, and the best of them."""

    selected: str
    methods: tuple[PtqMethod, ...]


class EpochRecord(Spec):
    """One epoch of training.

    Attributes:
        phase: Name of the phase that it belongs to.
        epoch: Counted within the phase, from 1.
        loss: Mean training loss.
        metric: On the validation split; null where it was not evaluated.
        lr: Learning rate at the end of the epoch.
        seconds: Wall time.
        compiled: Whether its steps were compiled.
        note: Why its bits may differ from those of an uninterrupted run; empty where nothing changed.
        teacher_loss: Mean training loss of a teacher that learns beside the student; null where it does not.
        teacher_metric: Of a teacher that is trained, on the validation split, at the end of each phase.
    """

    phase: str
    epoch: int
    loss: float
    metric: float | None
    lr: float
    seconds: float
    compiled: bool = False
    note: str = ""
    teacher_loss: float | None = None
    teacher_metric: float | None = None


class StudentReport(Spec):
    """The network that was distilled.

    Attributes:
        name: Its architecture.
        params: Number of weights.
        macs: Multiply-accumulates of one inference.
        size_bytes_float: Size of its float ONNX file.
        metric_float: Float student on the test split.
        metric_fake_quant: Fake-quantized student, in the training framework, on the test split.
        method: Distillation method.
        bits: Bit widths.
        quantizers: Kinds of quantizers.
        float_layers: Layers left in float.
        ptq: Post-training quantization of the same student; null if it was not tried.
        history: One record for each epoch.
    """

    name: str
    params: int
    macs: int
    size_bytes_float: int
    metric_float: Metric
    metric_fake_quant: Metric
    method: str
    bits: Bits
    quantizers: Quantizers
    float_layers: tuple[FloatLayer, ...]
    ptq: Ptq | None = None
    history: tuple[EpochRecord, ...]


class GateResult(Spec):
    """A limit that was set beforehand, and what was measured.

    Attributes:
        name: Kind of the gate and the limit's key, such as ``size.max_growth``.
        engine: File of the engine that was judged.
        limit: What was allowed.
        value: What was found; null if nothing was.
        unit: Of both.
        interval: Ends of the interval that decided; null where the value itself did.
        state: ``inconclusive``: the interval reaches across the limit, or the engine was not run.
            ``not_applicable``: this engine cannot be asked, another one of the run was; it decides nothing.
        text: What it was measured on and compared with.
    """

    name: str
    engine: str
    limit: float
    value: float | None
    unit: GateUnit
    interval: tuple[float, float] | None = None
    state: GateState
    text: str


class StageRecord(Spec):
    """A stage of the run.

    Attributes:
        name: Name of the stage.
        key: Digest of everything that it read.
        seconds: Wall time.
        cached: Whether its result came from the store.
        why: Why it ran, or what made it a hit.
    """

    name: str
    key: str
    seconds: float
    cached: bool
    why: str


class Report(Spec):
    """The whole of report.json.

    Attributes:
        edgekd: Version of edgekd.
        schema_version: Raised when a name or a meaning changes.
        pipeline: Name of the pipeline.
        spec_digest: Identity of the resolved spec.
        created: When, UTC.
        command: The command that makes it again.
        seed: Of everything random; null in reports of versions that did not say it.
        machine: What it was measured on.
        data: The data set.
        teacher: The network that was distilled from; null where the method needs none. Of several the first,
            which engines are compared with.
        other_teachers: Those that were heard with it, as one.
        assistants: Networks between teachers and student, in order: each learned from the one before.
        student: The network that was distilled.
        targets: The engines, one at least.
        gates: Limits and verdicts.
        stages: What ran, and why.
        search: What the search for the student found; null where it was given.
    """

    edgekd: str
    schema_version: Literal[1] = SCHEMA_VERSION
    pipeline: str
    spec_digest: str
    created: AwareDatetime
    command: str
    seed: int | None = None
    machine: Machine
    data: DataReport
    teacher: TeacherReport | None
    other_teachers: tuple[TeacherReport, ...] = ()
    assistants: tuple[TeacherReport, ...] = ()
    student: StudentReport
    targets: Annotated[tuple[TargetReport, ...], Field(min_length=1)]
    gates: tuple[GateResult, ...]
    stages: tuple[StageRecord, ...]
    search: SearchRecord | None = None

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read a report.

        Raises:
            StoreError: If the file cannot be read or is not a report of this schema version.
        """
        try:
            content = path.read_bytes()
            report = cls.model_validate_json(content)
            json.loads(content, parse_int=_countable)
        except OSError as e:
            what = f"cannot read the report: {e.strerror}"
            raise StoreError(what, where=str(path), fix="give a folder that edgekd compress wrote") from e
        except ValidationError as e:
            first = e.errors()[0]
            key = ".".join(map(str, first["loc"])) or "the file"
            what = f"not a report of schema version {SCHEMA_VERSION}: {key}: {first['msg']}"
            raise StoreError(what, where=str(path), fix="run edgekd compress again") from e
        except ValueError as e:
            raise StoreError(str(e), where=str(path), fix="run edgekd compress again") from e
        return report

    def machine_of(self, target: TargetReport) -> Machine:
        """Return what a target's engine was measured on: its device, or the machine that made the report."""
        return target.machine or self.machine

    @property
    def lineage(self) -> str:
        """Who teaches whom, e.g. ``"resnet110 + resnet56 to resnet44 to resnet20"``."""
        teachers = [found.name for found in (self.teacher, *self.other_teachers) if found]
        chain = [" + ".join(teachers), *(found.name for found in self.assistants), self.student.name]
        return " to ".join(filter(None, chain))

    @property
    def machines(self) -> tuple[Machine, ...]:
        """Every machine that made or measured something, the one that made the report first."""
        found = [self.machine]
        for target in self.targets:
            if (machine := self.machine_of(target)) not in found:
                found.append(machine)
        return tuple(found)

    def save(self, path: Path) -> None:
        """Write the report in one step. Its folder exists."""
        write_text(path, self.text())

    def text(self) -> str:
        """Return the content of report.json."""
        return self.model_dump_json(indent=2) + "\n"


def _countable(digits: str) -> int:
    """Refuse whole numbers that no float holds: words and plots turn them into one."""
    if len(digits) > MOST_DIGITS:
        msg = f"not a report: {digits[:MOST_DIGITS]}... is more than anything that is counted"
        raise ValueError(msg)
    return int(digits)


def report_json_schema() -> dict[str, Any]:
    """Return the JSON schema of report.json (draft 2020-12)."""
    schema = Report.model_json_schema(mode="serialization")
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}
