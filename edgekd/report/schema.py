"""report.json: everything that a run can claim. Gates, tests, benchmarks and both reports read only this.

Fractions are 0..1, times are in ms, sizes in bytes. Intervals are (low, high) at 95 %.
"""

from pathlib import Path
from typing import Annotated, Any, Final, Literal, Self

from pydantic import AwareDatetime, Field, ValidationError

from edgekd.core.atomic import write_text
from edgekd.core.machine import Machine
from edgekd.core.spec_base import Spec
from edgekd.device.latency import Speedup
from edgekd.errors import StoreError
from edgekd.tasks.metric import Metric

SCHEMA_VERSION: Final = 1


class DataReport(Spec):
    """The data set and the sizes of its splits."""

    kind: str
    train_n: int
    validation_n: int
    test_n: int
    classes: int


class TeacherReport(Spec):
    """The network that was given.

    Attributes:
        name: Its architecture.
        params: Number of weights.
        macs: Multiply-accumulates of one inference.
        size_bytes: Size of its float ONNX file.
        metric: On the test split.
    """

    name: str
    params: int
    macs: int
    size_bytes: int
    metric: Metric


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


class LayerFidelity(Spec):
    """One fake-quantized tensor of the student against the engine's.

    Attributes:
        name: Name of the tensor.
        off_by_one: Fraction of its values that differ by one step.
        off_by_more: Number of its values that differ by more.
    """

    name: str
    off_by_one: float
    off_by_more: int


class Fidelity(Spec):
    """How far the engine computes what was trained.

    Attributes:
        oracle_nodes: Integer nodes of the optimised graph compared with exact integer arithmetic.
        oracle_values: Values compared.
        oracle_mismatches: Values that differ; 0 is demanded.
        oracle_unchecked: Types of integer nodes that have no exact model and were not compared.
        first_mismatch: First node that differs; null if none does.
        layer_tensors: Fake-quantized tensors compared, layer by layer on the same inputs.
        layer_off_by_one: Fraction of their values that differ by one step.
        layer_off_by_more: Number of their values that differ by more; 0 is demanded.
        layers: The same by tensor.
    """

    oracle_nodes: int
    oracle_values: int
    oracle_mismatches: int
    oracle_unchecked: tuple[str, ...] = ()
    first_mismatch: str | None = None
    layer_tensors: int
    layer_off_by_one: float
    layer_off_by_more: int
    layers: tuple[LayerFidelity, ...]


class Fallback(Spec):
    """A node of the optimised graph that runs in float, and why.

    Attributes:
        node: Its name.
        op: Operator type.
        reason: Why, and what to change.
        listed: Whether it is on the closed list of operators that may be float, or beside one.
    """

    node: str
    op: str
    reason: str
    listed: bool = False


class Coverage(Spec):
    """How much of the optimised graph runs in integers.

    Attributes:
        integer_ops: Integer nodes.
        float_ops: Float nodes.
        float_op_names: Their operators.
        fallbacks: Their reasons.
        integer_time_share: Fraction of the time spent in integer nodes; null if it was not profiled.
    """

    integer_ops: int
    float_ops: int
    float_op_names: tuple[str, ...]
    fallbacks: tuple[Fallback, ...]
    integer_time_share: float | None = None

    @property
    def unlisted(self) -> tuple[Fallback, ...]:
        """The float nodes that the closed list does not allow: an engine of edgekd has none."""
        return tuple(item for item in self.fallbacks if not item.listed)


class Latency(Spec):
    """Milliseconds of one inference; ``warmup`` counts the untimed ones before the ``n`` timed ones."""

    p50: float
    p90: float
    p99: float
    mean: float
    min: float
    n: int
    warmup: int
    threads: int


class Baseline(Spec):
    """A model measured in the same interleaved run as the engine.

    Attributes:
        name: Which one.
        p50: Median, ms.
        p90: 90th percentile, ms.
        p99: 99th percentile, ms.
        n: Timed inferences.
        size_bytes: Size of its file.
        speedup: How many times faster than it the engine is.
    """

    name: Literal["teacher_float", "student_float", "ptq"]
    p50: float
    p90: float
    p99: float
    n: int
    size_bytes: int
    speedup: Speedup


class LayerWeights(Spec):
    """How the file holds the weights of one layer.

    Attributes:
        weights: Number of its codes.
        channels: Output channels; each has a scale, a bias and a scale of the bias, 12 bytes.
        bits: That one code needs.
        stored_bits: That one code, or its index into a table, has in the file.
        table_values: Values of that table, a byte each; 0 without one.
        size_bytes: Codes as they are stored, table and channels.
    """

    name: str
    weights: int
    channels: int
    bits: int
    stored_bits: int
    table_values: int
    size_bytes: int


class TargetReport(Spec):
    """An engine on its device.

    Attributes:
        kind: Runtime.
        profile: Profile that the student was trained for.
        profile_version: Version of that profile.
        bits_note: What fewer than 8 bits buy here; empty where all are 8.
        device: Where the engine was built and measured.
        model_path: The engine's file, relative to the report.
        size_bytes: Size of the file.
        payload_bytes: Of them, those of the weights: codes as they are stored, tables, and 12 per channel.
        graph_bytes: The others: operators, names, metadata.
        float_weight_bytes: Bytes of the float student's weights, for comparison.
        download_bytes: Size of the file compressed by zlib at level 9, as a package or a web server would.
        layers: What the payload is made of.
        metric: Engine on the test split.
        agreement_top1: Fraction of test samples on which engine and fake-quantized student agree; null where
            the task knows no such thing.
        fidelity: Engine against what was trained.
        coverage: Integer and float nodes.
        latency_ms: Of the engine.
        ptq_metric: Engine of post-training quantization on the test split; null if there is none.
        baselines: Models that it was timed against.
        times_ms: Median of each round, by baseline name and ``engine``.
    """

    kind: str
    profile: str
    profile_version: int
    bits_note: str = ""
    device: str
    model_path: str
    size_bytes: int
    payload_bytes: int
    graph_bytes: int
    float_weight_bytes: int
    download_bytes: int
    layers: tuple[LayerWeights, ...]
    metric: Metric
    agreement_top1: float | None
    fidelity: Fidelity
    coverage: Coverage
    latency_ms: Latency
    ptq_metric: Metric | None = None
    baselines: tuple[Baseline, ...]
    times_ms: dict[str, tuple[float, ...]]


class GateResult(Spec):
    """A limit that was set beforehand, and what was measured."""

    name: str
    limit: float
    value: float
    passed: bool


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
        machine: What it was measured on.
        data: The data set.
        teacher: The network that was distilled from; null where the method needs none.
        student: The network that was distilled.
        targets: The engines, one at least.
        gates: Limits and verdicts.
        stages: What ran, and why.
    """

    edgekd: str
    schema_version: Literal[1] = SCHEMA_VERSION
    pipeline: str
    spec_digest: str
    created: AwareDatetime
    command: str
    machine: Machine
    data: DataReport
    teacher: TeacherReport | None
    student: StudentReport
    targets: Annotated[tuple[TargetReport, ...], Field(min_length=1)]
    gates: tuple[GateResult, ...]
    stages: tuple[StageRecord, ...]

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read a report.

        Raises:
            StoreError: If the file cannot be read or is not a report of this schema version.
        """
        try:
            return cls.model_validate_json(path.read_bytes())
        except OSError as e:
            what = f"cannot read the report: {e.strerror}"
            raise StoreError(what, where=str(path), fix="give a folder that edgekd compress wrote") from e
        except ValidationError as e:
            first = e.errors()[0]
            key = ".".join(map(str, first["loc"])) or "the file"
            what = f"not a report of schema version {SCHEMA_VERSION}: {key}: {first['msg']}"
            raise StoreError(what, where=str(path), fix="run edgekd compress again") from e

    def save(self, path: Path) -> None:
        """Write the report in one step. Its folder exists."""
        write_text(path, self.text())

    def text(self) -> str:
        """Return the content of report.json."""
        return self.model_dump_json(indent=2) + "\n"


def report_json_schema() -> dict[str, Any]:
    """Return the JSON schema of report.json (draft 2020-12)."""
    schema = Report.model_json_schema(mode="serialization")
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}
