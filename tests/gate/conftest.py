"""A run's folder with a real engine, its baseline, and data that a model file can be scored on."""

import runpy
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from edgekd.core.atomic import file_sha256
from edgekd.data.arrays import ArraysSpec
from edgekd.gate.gates import Gates, judge
from edgekd.gate.model_subject import Scoring
from edgekd.report.schema import GateResult, Report
from edgekd.runtimes.onnx_runtime_target import OnnxRuntimeTarget

report = runpy.run_path(str(Path(__file__).parents[1] / "report" / "conftest.py"))["report"]

ENGINE = "model.onnxruntime.onnx"
Change = Callable[..., Path]


@pytest.fixture(scope="session")
def engine(onnx_model, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Pixels (n, 8, 8, 1) to 10 logits: one integer matrix product."""
    path = tmp_path_factory.mktemp("engine") / ENGINE
    scale, middle = np.array(0.01, np.float32), np.array(128, np.uint8)
    model = onnx_model(
        "uint8[n,8,8,1] image",
        "float[n,10] logits",
        """flat = Flatten (image)
        x = DequantizeLinear (flat, scale, zero)
        w = DequantizeLinear (codes, scale, signed_zero)
        y = MatMul (x, w)
        q = QuantizeLinear (y, scale, middle)
        logits = DequantizeLinear (q, scale, middle)""",
        {
            "scale": scale,
            "zero": np.array(0, np.uint8),
            "signed_zero": np.array(0, np.int8),
            "middle": middle,
            "codes": np.random.default_rng(0).integers(-9, 10, (64, 10), dtype=np.int8),
        },
    )
    onnx.save(model, path)
    return path


@pytest.fixture(scope="session")
def data(engine: Path, tmp_path_factory: pytest.TempPathFactory) -> ArraysSpec:
    """60 images in three splits; the engine is right on 18 of the 20 of the test split."""
    rng = np.random.default_rng(1)
    images = rng.integers(0, 256, (20, 8, 8, 1), dtype=np.uint8)
    with OnnxRuntimeTarget().open(engine) as session:
        labels = session.predict(images).argmax(1)
    labels[:2] = (labels[:2] + 1) % 10
    splits = {
        f"{letter}_{name}": value
        for name in ("train", "validation", "test")
        for letter, value in (("x", images), ("y", labels))
    }
    path = tmp_path_factory.mktemp("data") / "data.npz"
    np.savez(path, **splits)
    return ArraysSpec(path=str(path), class_names=tuple("0123456789"))


@pytest.fixture
def run(engine: Path, report: Report, tmp_path: Path) -> Change:
    """Return a function that writes a run's folder; its keywords change the target's part of the report."""

    def write(name: str = "run", **changes: Any) -> Path:
        folder = tmp_path / name
        folder.mkdir()
        shutil.copy(engine, folder / ENGINE)
        facts = {"size_bytes": engine.stat().st_size, "model_sha256": file_sha256(engine)}
        target = report.targets[0].model_copy(update={**facts, **changes})
        report.model_copy(update={"targets": (target,), "gates": ()}).save(folder / "report.json")
        return folder

    return write


@pytest.fixture
def three(run: Change, report: Report) -> Path:
    """A run's folder with engines of three runtimes: one exact, one near, one near and not run."""
    folder = run("three")
    found = Report.load(folder / "report.json")
    (exact,) = found.targets
    nothing = {"oracle_nodes": 0, "oracle_values": 0}
    near = {
        "kind": "openvino",
        "model_path": "model.openvino.onnx",
        "least_agreement": 0.98,
        "fidelity": exact.fidelity.model_copy(update=nothing),
    }
    idle = {
        **near,
        "kind": "tensorrt",
        "model_path": "model.tensorrt.plan",
        "not_run": "no GPU",
        "baselines": (),
    }
    targets = (exact, exact.model_copy(update=near), exact.model_copy(update=idle))
    found.model_copy(update={"targets": targets}).save(folder / "report.json")
    return folder


@pytest.fixture(scope="session")
def decide() -> Callable[..., GateResult]:
    """Return a function that decides one gate with one limit."""

    def run_it(
        gate: dict[str, Any], path: Path, *, baseline: Path | None = None, **scoring: Any
    ) -> GateResult:
        gates = Gates.model_validate({"version": 1, "gates": [gate]})
        (result,) = judge(gates, path, baseline=baseline, scoring=Scoring(**scoring))
        return result

    return run_it


HOSTILE = "a|b\n::error::c%0A<script>&\"']]>\x00\x1b[31m **d** `e` [f](http://g) ##[error]h\ud800\u2028-->"


@pytest.fixture
def results(report: Report) -> tuple[GateResult, ...]:
    """One of each state, the second and third with words that no output may take for its own."""
    passed = report.gates[0]
    hostile = {"engine": HOSTILE, "text": HOSTILE}
    failed = passed.model_copy(update={"state": "failed", **hostile})
    elsewhere = passed.model_copy(update={"state": "not_applicable", "value": None, "text": "no oracle"})
    open_ = report.gates[2].model_copy(update={"state": "inconclusive", **hostile})
    return passed, failed, open_, elsewhere
