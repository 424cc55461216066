"""Regression with functions of the user's: loss, metric and augmentation, from arrays to the report."""

from pathlib import Path

import numpy as np
import pytest
import yaml

from edgekd.core import user_code
from edgekd.core.store import Store
from edgekd.errors import DataError, SpecError
from edgekd.pipeline import compress
from edgekd.report.schema import Report
from edgekd.spec import load_pipeline

CODE = """
def squares(outputs, labels):
    return ((outputs - labels) ** 2).mean()

def mean_error(outputs, labels):
    return float(abs(outputs - labels).mean())

def mirror(images, generator):
    return images.flip(1)  # top to bottom: what is left stays left
"""
SPEC = {
    "version": 1,
    "name": "halves",
    "data": {"kind": "arrays", "path": "{folder}/halves.npz", "class_names": ["left", "right"]},
    "task": {
        "kind": "python",
        "loss": {"file": "mine.py", "function": "squares"},
        "metric": {"file": "mine.py", "function": "mean_error"},
        "better": "lower",
    },
    "student": {
        "kind": "fixed",
        "network": {"kind": "resnet_cifar", "depth": 8},
        "training": {"epochs": 6, "learning_rate": 0.05},
    },
    "training": {"batch_size": 20, "augment": {"code": {"file": "mine.py", "function": "mirror"}}},
    "quantize": {"calibration": {"samples": 64, "methods": ["mse"]}},
    "distill": {"kind": "none"},
}


@pytest.fixture
def folder(tmp_path: Path, one_thread: None, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Images whose two halves are grey; the labels are how bright each is."""
    monkeypatch.setattr(user_code, "_ALLOWED", True)
    monkeypatch.setenv("EDGEKD_STORE", str(tmp_path / "store"))
    rng = np.random.default_rng(0)
    grey = rng.integers(30, 226, (300, 2))
    images = (grey.repeat(4, axis=1)[:, None, :] + rng.integers(-20, 21, (300, 8, 8))).astype(np.uint8)
    np.savez(tmp_path / "halves.npz", x_train=images, y_train=grey / 255)
    (tmp_path / "mine.py").write_text(CODE)
    (tmp_path / "halves.yaml").write_text(yaml.safe_dump(SPEC).replace("{folder}", str(tmp_path)))
    return tmp_path


def _compress(folder: Path, *overrides: str) -> Report:
    spec = load_pipeline(folder / "halves.yaml", overrides)
    return compress(spec, Store(folder / "store", pipeline=spec.name), runs=folder / "runs", command="edgekd")


def test_report_shows_the_metric_by_its_name(folder: Path) -> None:
    report = _compress(folder)
    (target,) = report.targets
    assert (target.metric.name, target.metric.higher_is_better, target.metric.n) == ("mean_error", False, 60)
    assert target.metric.value < 0.15  # saying the mean of all labels would give about 0.19
    low, high = target.metric.ci95
    assert low < target.metric.value < high
    assert abs(target.metric.value - report.student.metric_float.value) < 0.02
    assert target.agreement_top1 is None
    assert (target.coverage.float_ops, target.fidelity.oracle_mismatches) == (0, 0)
    assert [record.metric is not None for record in report.student.history] == [True] * 6
    page = (folder / "runs" / "halves" / "report.html").read_text()
    assert "mean_error" in page
    assert "agree<" not in page


def test_what_does_not_fit_the_task_is_said_before_any_work(folder: Path) -> None:
    with pytest.raises(DataError, match="not class indices"):
        _compress(folder, "task={kind: classification}")
    teacher = "teacher={network: {kind: resnet_cifar}, training: {epochs: 1, learning_rate: 0.1}}"
    method = "distill={kind: hinton, schedule: {epochs: 1, learning_rate: 0.1}}"
    with pytest.raises(SpecError, match="does not have"):
        _compress(folder, teacher, method)
    assert not (folder / "store" / "entries").exists()
