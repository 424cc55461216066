"""Verification: what an engine is, measured every time and never cached. Numpy and a runtime, no torch."""

import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
from numpy.typing import NDArray

from edgekd.core.progress import progress
from edgekd.data.dataset import Split
from edgekd.device.device import Connection
from edgekd.device.latency import Measurement
from edgekd.lower.float_reference import activation_marks
from edgekd.runtimes.coverage import Coverage
from edgekd.runtimes.here import HERE
from edgekd.runtimes.layer_reference import LayerResult, compare_layers
from edgekd.runtimes.saturation import Saturation
from edgekd.runtimes.session import Tensors, fitting
from edgekd.runtimes.target import BuiltModel
from edgekd.tasks.classification import TaskSpec
from edgekd.tasks.metric import Metric
from edgekd.verify.native import NativeResult, compare_with_native
from edgekd.verify.oracle import OracleResult, check_against_oracle
from edgekd.verify.paired import Paired, compare_paired

SCORED_AT_ONCE = 256
PAIRED = ("teacher_float", "student_float")
"""Baselines that the engine is compared with sample by sample."""


@dataclass(frozen=True)
class Faithfulness:
    """What the optimised graph is, node by node.

    Attributes:
        coverage: Integer and float operators.
        oracle: Integer operators against exact arithmetic.
        layers: Layers against the trained network; empty without a marked graph.
        unwatched: Activation quantizers whose codes the runtime does not show.
        saturation: Layers that CPUs without VNNI may compute otherwise.
        codes: Centred codes of every activation quantizer by mark; empty without a marked graph.
    """

    coverage: Coverage = field(default_factory=lambda: Coverage(0, ()))
    oracle: OracleResult = field(default_factory=OracleResult)
    layers: tuple[LayerResult, ...] = ()
    unwatched: int = 0
    saturation: tuple[Saturation, ...] = ()
    codes: Tensors = field(default_factory=dict, compare=False, repr=False)


@dataclass(frozen=True)
class Verdict:
    """Everything that was measured on one engine.

    Attributes:
        metric: Of the engine on the test split.
        ptq_metric: Of the engine from post-training quantization; None without one.
        exact_metric: Of the student in exact integers; None where that was not computed.
        against: The engine against the float models of ``PAIRED``, sample by sample; empty where the task
            knows no right answer.
        agreement_top1: Fraction of test samples on which engine and trained student agree; None where the
            task knows no such thing.
        faithfulness: Coverage and fidelity.
        latency: Of ``engine`` and the baselines, by these names, from one interleaved run; None where time
            means nothing.
        native: Against this machine's own CPU; None unless the device is emulated.
        size_bytes: By the same names as the latency.
        float_weight_bytes: Weights of the float student's file.
    """

    metric: Metric
    ptq_metric: Metric | None
    exact_metric: Metric | None
    against: dict[str, Paired]
    agreement_top1: float | None
    faithfulness: Faithfulness
    latency: Measurement | None
    native: NativeResult | None
    size_bytes: dict[str, int]
    float_weight_bytes: int


def verify_engine(
    engine: BuiltModel,
    *,
    marked: Path,
    probes: NDArray[np.uint8],
    student_logits: NDArray[np.float32],
    baselines: Mapping[str, BuiltModel],
    test: Split,
    task: TaskSpec,
    device: Connection,
    seed: int,
    timed: bool = True,
    exact: BuiltModel | None = None,
) -> Verdict:
    """Measure accuracy, fidelity, integer coverage, latency and size of an engine.

    Args:
        engine: What the runtime loads.
        marked: The marked graph that it was lowered from.
        probes: Images that fidelity is measured on.
        student_logits: The trained student's logits on the test split.
        baselines: Float and PTQ models to time beside it, by name; all are also run on the test split.
        test: The test split, read once.
        task: What right means.
        device: Where all of it is measured.
        seed: Of the order of timing.
        timed: False where ``engine`` stands for one that cannot run.
        exact: Then, the student in exact integers, if a runtime here computes it so.
    """
    faithfulness = verify_graph(engine, probes, marked=marked)
    models = {"engine": engine, **baselines}
    logits = _logits("engine", engine, test)
    others = {"ptq": baselines.get("ptq"), "exact integers": exact}
    metrics = {
        name: task.score(_logits(name, model, test), test.labels)
        for name, model in others.items()
        if model is not None
    }
    return Verdict(
        metric=task.score(logits, test.labels),
        ptq_metric=metrics.get("ptq"),
        exact_metric=metrics.get("exact integers"),
        against=_against(logits, baselines, test, task),
        agreement_top1=task.agreement(logits, student_logits),
        faithfulness=faithfulness,
        latency=_latency(models, test, device, seed) if timed and device.times else None,
        native=None if device.times else _native(engine, marked, probes, test, faithfulness.codes, logits),
        size_bytes={name: model.path.stat().st_size for name, model in models.items()},
        float_weight_bytes=float_weight_bytes(baselines["student_float"]),
    )


def verify_graph(
    engine: BuiltModel, probes: NDArray[np.uint8], *, marked: Path | None = None
) -> Faithfulness:
    """Look inside the graph that runs: coverage, oracle and, with a marked graph, the layers.

    Raises:
        BuildError: If the graph that is looked into does not compute what the engine computes.
    """
    with engine.open() as session:
        feeds = {session.inputs[0].name: fitting(probes, session.fixed_batch)}
    return verify_feeds(engine, feeds, marked=marked)


def verify_feeds(engine: BuiltModel, feeds: Tensors, *, marked: Path | None = None) -> Faithfulness:
    """Look inside as `verify_graph` does, with a value for every input of the model."""
    inside = engine.target.look_inside(
        engine.path, feeds, marked=marked, source=engine.source, host=engine.host
    )
    graph = inside.optimized
    return Faithfulness(
        coverage=inside.coverage,
        oracle=OracleResult() if graph is None else check_against_oracle(graph, inside.tensors),
        layers=() if marked is None else compare_layers(marked, inside.codes, feeds, outputs=inside.tensors),
        unwatched=0 if marked is None else len(activation_marks(ir.load(marked))) - len(inside.codes),
        saturation=inside.saturation,
        codes=inside.codes,
    )


def download_bytes(path: Path) -> int:
    """Return the size of a file when compressed by zlib at level 9, as packages and web servers do."""
    return len(zlib.compress(path.read_bytes(), level=9))


def float_weight_bytes(model: BuiltModel) -> int:
    """Return the bytes of all float32 constants in the file that a model was built from."""
    initializers = onnx.load(model.source or model.path).graph.initializer
    return sum(
        4 * int(np.prod(init.dims)) for init in initializers if init.data_type == onnx.TensorProto.FLOAT
    )


def _against(
    logits: NDArray[np.float32], baselines: Mapping[str, BuiltModel], test: Split, task: TaskSpec
) -> dict[str, Paired]:
    right = task.correct(logits, test.labels)
    if right is None:
        return {}
    others = {
        name: task.correct(_logits(name, baselines[name], test), test.labels)
        for name in PAIRED
        if name in baselines
    }
    return {name: compare_paired(right, other) for name, other in others.items() if other is not None}


def _logits(name: str, model: BuiltModel, test: Split) -> NDArray[np.float32]:
    """Return what a model says to every image of the test split."""
    with model.open() as session, progress(f"test split: {name}", len(test)) as advance:
        return session.predict(test.images, advance=advance)


def _latency(models: Mapping[str, BuiltModel], test: Split, device: Connection, seed: int) -> Measurement:
    with models["engine"].open() as session:
        example = {session.inputs[0].name: fitting(test.images, session.fixed_batch or 1)}
    return device.measure(models, dict.fromkeys(models, example), seed=seed)


def _native(
    engine: BuiltModel,
    marked: Path,
    probes: NDArray[np.uint8],
    test: Split,
    codes: Tensors,
    logits: NDArray[np.float32],
) -> NativeResult:
    """Run the same file on this machine's own CPU and compare."""
    here = replace(engine, host=HERE)
    with here.open() as session:
        native_logits = session.predict(test.images)
        feeds = {session.inputs[0].name: fitting(probes, session.fixed_batch)}
    native_codes = here.target.look_inside(here.path, feeds, marked=marked).codes
    return compare_with_native(codes, native_codes, logits, native_logits)
