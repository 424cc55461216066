"""Verification: what an engine is, measured every time and never cached. Numpy and a runtime, no torch."""

import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray

from edgekd.data.dataset import Split
from edgekd.device.latency import LatencySamples
from edgekd.device.local import LocalDevice
from edgekd.errors import BuildError
from edgekd.runtimes.coverage import Coverage, coverage
from edgekd.runtimes.layer_reference import LayerResult, compare_layers, engine_codes
from edgekd.runtimes.onnx_runtime import open_session, optimized_graph, predict, run_all, tap_everything
from edgekd.tasks.classification import TaskSpec
from edgekd.verify.oracle import OracleResult, check_against_oracle


@dataclass(frozen=True)
class Score:
    """Right answers among ``n`` samples."""

    correct: int
    n: int


@dataclass(frozen=True)
class Faithfulness:
    """What the optimised graph is, node by node.

    Attributes:
        coverage: Integer and float operators.
        oracle: Integer operators against exact arithmetic.
        layers: Layers against the trained network; empty without a marked graph.
    """

    coverage: Coverage
    oracle: OracleResult
    layers: tuple[LayerResult, ...]


@dataclass(frozen=True)
class Verdict:
    """Everything that was measured on one engine.

    Attributes:
        score: Of the engine on the test split.
        ptq_score: Of the engine from post-training quantization; None without one.
        agreement_top1: Fraction of test samples on which engine and trained student agree.
        faithfulness: Coverage and fidelity.
        latency: By name: ``engine`` and the baselines, from one interleaved run.
        size_bytes: By the same names.
        download_bytes: Size of the engine when compressed.
        float_weight_bytes: Weights of the float student's file.
    """

    score: Score
    ptq_score: Score | None
    agreement_top1: float
    faithfulness: Faithfulness
    latency: dict[str, LatencySamples]
    size_bytes: dict[str, int]
    download_bytes: int
    float_weight_bytes: int


def verify_engine(
    engine: Path,
    *,
    marked: Path,
    probes: NDArray[np.uint8],
    student_logits: NDArray[np.float32],
    baselines: Mapping[str, Path],
    test: Split,
    task: TaskSpec,
    device: LocalDevice,
    threads: int,
    seed: int,
) -> Verdict:
    """Measure accuracy, fidelity, integer coverage, latency and size of an engine.

    Args:
        engine: The file that the runtime loads.
        marked: The marked graph that it was lowered from.
        probes: Images that fidelity is measured on.
        student_logits: The trained student's logits on the test split.
        baselines: Float and PTQ models to time beside it, by name; ``ptq`` is also scored.
        test: The test split, read once.
        task: What right means.
        device: Where latency is measured.
        threads: Threads of one inference.
        seed: Of the order of timing.
    """
    logits = predict(open_session(engine, threads=threads), test.images)
    agreement = float(np.mean(np.argmax(logits, 1) == np.argmax(student_logits, 1)))
    ptq = baselines.get("ptq")
    ptq_logits = predict(open_session(ptq, threads=threads), test.images) if ptq is not None else None
    models = {"engine": engine, **baselines}
    return Verdict(
        score=_score(task, logits, test),
        ptq_score=None if ptq_logits is None else _score(task, ptq_logits, test),
        agreement_top1=agreement,
        faithfulness=verify_graph(engine, probes, marked=marked, threads=threads),
        latency=device.measure(models, _example(engine, test), threads=threads, seed=seed),
        size_bytes={name: path.stat().st_size for name, path in models.items()},
        download_bytes=len(zlib.compress(engine.read_bytes(), level=9)),
        float_weight_bytes=float_weight_bytes(baselines["student_float"]),
    )


def verify_graph(
    engine: Path, probes: NDArray[np.uint8], *, marked: Path | None = None, threads: int = 1
) -> Faithfulness:
    """Look inside the graph that runs: coverage, oracle and, with a marked graph, the layers.

    Raises:
        BuildError: If the graph that is looked into does not compute what the engine computes.
    """
    session = open_session(engine, threads=threads)
    feeds = {session.get_inputs()[0].name: _fitting(probes, session.get_inputs()[0].shape[0])}
    optimized = optimized_graph(engine, threads=threads)
    tensors = tap_everything(optimized, feeds)
    for name, value in run_all(session, feeds).items():
        if not np.array_equal(value, tensors[name]):
            what = f"the saved optimised graph computes another {name} than the engine"
            raise BuildError(what, where=str(engine))
    layers: tuple[LayerResult, ...] = ()
    if marked is not None:
        codes = engine_codes(engine, marked, feeds, threads=threads)
        layers = compare_layers(marked, codes, feeds, outputs=tensors)
    return Faithfulness(
        coverage=coverage(optimized, {**tensors, **feeds}),
        oracle=check_against_oracle(optimized, {**tensors, **feeds}),
        layers=layers,
    )


def float_weight_bytes(model: Path) -> int:
    """Return the bytes of all float32 constants in a file."""
    initializers = onnx.load(model).graph.initializer
    return sum(
        4 * int(np.prod(init.dims)) for init in initializers if init.data_type == onnx.TensorProto.FLOAT
    )


def _score(task: TaskSpec, logits: NDArray[np.float32], test: Split) -> Score:
    return Score(int(np.sum(task.correct(logits, test.labels))), len(test))


def _example(engine: Path, test: Split) -> NDArray[np.uint8]:
    batch = open_session(engine).get_inputs()[0].shape[0]
    return _fitting(test.images, batch if isinstance(batch, int) else 1)


def _fitting(images: NDArray[np.uint8], batch: int | str | None) -> NDArray[np.uint8]:
    """Return as many images as a fixed batch takes, all of them if it is free."""
    return np.resize(images, (batch, *images.shape[1:])) if isinstance(batch, int) else images
