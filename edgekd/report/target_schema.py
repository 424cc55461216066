"""The engine's part of report.json: fidelity, coverage, latency, and how its file holds the weights.

Fractions are 0..1, times are in ms, sizes in bytes. Intervals are (low, high), of metrics at 95 %,
of latency ratios at 99 %.
"""

from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

from edgekd.core.machine import Machine
from edgekd.core.spec_base import Spec
from edgekd.device.latency import Speedup
from edgekd.runtimes.coverage import CoverageSource
from edgekd.runtimes.lost_time import NodeCost
from edgekd.runtimes.saturation import Saturation
from edgekd.tasks.metric import Metric
from edgekd.verify.paired import Paired


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
        layer_unwatched: Those that cannot be watched without changing what the engine computes.
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
    layer_unwatched: int = 0
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
        integer_time_share: Fraction of the time that is not spent in ``fallbacks``; null if it was not
            profiled.
        border_time_share: Fraction spent on changes of type and layout; null as above.
        source: What says so: the engine, as it runs; its builder; or only the quantizers of its file.
        nodes: Every node and its fraction of the time, the most expensive first.
    """

    integer_ops: int
    float_ops: int
    float_op_names: tuple[str, ...]
    fallbacks: tuple[Fallback, ...]
    integer_time_share: float | None = None
    border_time_share: float | None = None
    source: CoverageSource = "engine"
    nodes: tuple[NodeCost, ...] = ()

    @property
    def unlisted(self) -> tuple[Fallback, ...]:
        """The float nodes that the closed list does not allow: an engine of edgekd has none."""
        return tuple(item for item in self.fallbacks if not item.listed)


class Latency(Spec):
    """Milliseconds of one inference; ``warmup`` counts the untimed ones before the ``n`` timed ones.

    Attributes:
        open_ms: Of opening the engine, the median over sessions; null if it was not measured.
        peak_memory_bytes: That the opened engine adds to a process at most; null if that is not known.
        doubts: What makes the numbers doubtful, each a sentence.
    """

    p50: float
    p90: float
    p99: float
    mean: float
    min: float
    n: int
    warmup: int
    threads: int
    open_ms: float | None = None
    peak_memory_bytes: int | None = None
    doubts: tuple[str, ...] = ()


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
        lowest: Smallest code; null in reports of versions that did not count it, as are the next two.
        highest: Largest code.
        zeros: Number of codes that are 0.
    """

    name: str
    weights: int
    channels: int
    bits: int
    stored_bits: int
    table_values: int
    size_bytes: int
    lowest: int | None = None
    highest: int | None = None
    zeros: int | None = None


class Native(Spec):
    """What an emulated CPU computes against what this machine's own computes.

    Attributes:
        identical: Whether all of it is the same, bit by bit.
        values: Codes of every activation quantizer on the probes, and logits of the test split, compared.
        differences: Of them, those that differ.
        first_difference: The first tensor that differs, in the order of the graph; null if none does.
    """

    identical: bool
    values: int
    differences: int
    first_difference: str | None

    @model_validator(mode="before")
    @classmethod
    def _counted(cls, fields: Any) -> Any:
        """Count at least one in reports that said no more than that there are some."""
        if not isinstance(fields, dict) or "differences" in fields:
            return fields
        return {**fields, "differences": int(not fields.get("identical", True))}


class Conditions(Spec):
    """State of the machine before and after latency was measured: clocks, temperatures, power mode, load."""

    before: dict[str, Any]
    after: dict[str, Any]


class TargetReport(Spec):
    """An engine on its device.

    Attributes:
        kind: Runtime.
        options: What the target sets otherwise than by default, as ``threads 2, batch 8``; empty for nothing.
        profile: Profile that the student was trained for.
        profile_version: Version of that profile.
        bits_note: What fewer than 8 bits buy here, or 8 risk; empty if there is nothing to say.
        device: Where the engine was measured.
        machine: What that is; null for the machine that made the report.
        runtime_version: Version of the runtime there; empty if it is missing, or in earlier reports.
        gpu: GPU that the engine is built for; empty for CPUs.
        not_built: Why there is no engine, and how there could be one; then the file is what it would be built
            from. Empty if there is one.
        not_run: Why the engine was not run; then accuracy and fidelity are those of its file, computed in
            float with every quantizer, and there is no latency. Empty if it was run.
        least_agreement: Fraction of test samples on which engine and student must agree; null where every
            code must be exact.
        tolerance_reason: Why not every code is exact.
        conditions: Its state when latency was measured; null if it was not.
        native: The comparison with a native run of the same file; null unless the device is emulated.
        model_path: The engine's file, relative to the report.
        model_sha256: Of the file, hex; empty in reports of earlier versions.
        size_bytes: Size of the file.
        payload_bytes: Of them, those of the weights: codes as they are stored, tables, and 12 per channel.
        graph_bytes: The others: operators, names, metadata; in an engine for a GPU its kernels.
        float_weight_bytes: Bytes of the float student's weights, for comparison.
        download_bytes: Size of the file compressed by zlib at level 9, as a package or a web server would.
        layers: What the payload is made of.
        metric: Engine on the test split.
        against_teacher: Engine against the float teacher on the same test samples; null without a teacher, or
            where the task knows no right answer.
        against_student_float: Engine against the float student; null as above.
        agreement_top1: Fraction of test samples on which engine and fake-quantized student agree; null where
            the task knows no such thing.
        fidelity: Engine against what was trained.
        coverage: Integer and float nodes.
        saturation: Layers that may saturate on CPUs without VNNI where the session does not forbid it, on the
            probes.
        latency_ms: Of the engine; null on an emulated device, where time means nothing.
        exact_metric: The student in exact integers, on ONNX Runtime, where its engine was not run; null where
            it was, or where ONNX Runtime would compute some of it in float.
        ptq_metric: Engine of post-training quantization on the test split; null if there is none.
        baselines: Models that it was timed against.
        times_ms: Median of each round, by baseline name and ``engine``.
    """

    kind: str
    options: str = ""
    profile: str
    profile_version: int
    bits_note: str = ""
    device: str
    machine: Machine | None = None
    runtime_version: str = ""
    gpu: str = ""
    not_built: str = ""
    not_run: str = ""
    least_agreement: float | None = None
    tolerance_reason: str = ""
    conditions: Conditions | None = None
    native: Native | None = None
    model_path: str
    model_sha256: str = ""
    size_bytes: int = Field(gt=0)
    payload_bytes: int
    graph_bytes: int
    float_weight_bytes: int
    download_bytes: int
    layers: tuple[LayerWeights, ...]
    metric: Metric
    against_teacher: Paired | None = None
    against_student_float: Paired | None = None
    agreement_top1: float | None
    fidelity: Fidelity
    coverage: Coverage
    saturation: tuple[Saturation, ...] = ()
    latency_ms: Latency | None
    exact_metric: Metric | None = None
    ptq_metric: Metric | None = None
    baselines: tuple[Baseline, ...]
    times_ms: dict[str, tuple[float, ...]]

    @property
    def title(self) -> str:
        """What people call it: its runtime, and what is not by default."""
        return ", ".join(filter(None, (self.kind, self.options)))

    @field_validator("model_path")
    @classmethod
    def _beside_the_report(cls, name: str) -> str:
        if name in ("", ".", "..") or set(name) & set("/\\\0"):
            msg = f"{name!r} is no name of a file beside the report"
            raise ValueError(msg)
        return name
