import numpy as np
import pytest
import torch

from edgekd.core import user_code
from edgekd.errors import DataError, SpecError, TrainError
from edgekd.tasks.loss import task_loss
from edgekd.tasks.python import PythonTaskSpec

SOURCE = """
def squares(outputs, labels, weight=1.0):
    return weight * ((outputs - labels) ** 2).mean()

def mean_error(outputs, labels):
    return abs(outputs - labels).mean()

def nan(outputs, labels):
    return float("nan")

def several(outputs, labels):
    return outputs - labels

def detached(outputs, labels):
    return ((outputs - labels) ** 2).mean().detach()
"""
OUTPUTS = np.array([[1.0, 2.0], [3.0, 5.0]], np.float32)
LABELS = np.array([[1.0, 2.0], [5.0, 5.0]], np.float32)


@pytest.fixture
def task(tmp_path, monkeypatch):
    monkeypatch.setattr(user_code, "_ALLOWED", True)
    (tmp_path / "mine.py").write_text(SOURCE)

    def build(loss="squares", metric="mean_error", **options):
        given = {
            "loss": {"file": "mine.py", "function": loss, "options": options},
            "metric": {"file": "mine.py", "function": metric},
            "better": "lower",
        }
        return PythonTaskSpec.model_validate(given, context={"folder": tmp_path})

    return build


def test_score_is_the_metric_with_its_interval(task):
    found = task().score(OUTPUTS, LABELS)
    assert (found.name, found.value, found.n, found.higher_is_better) == ("mean_error", 0.5, 2, False)
    assert found.ci95 == (0.0, 1.0)  # of two samples with the errors 0 and 1
    assert task().agreement(OUTPUTS, OUTPUTS) is None


def test_loss_is_the_functions(task):
    outputs = torch.tensor(OUTPUTS, requires_grad=True)
    assert task_loss(task(weight=2.0), outputs, torch.tensor(LABELS)).item() == 2 * 4 / 4


@pytest.mark.parametrize(
    ("loss", "says"),
    [("several", "a tensor of shape (2, 2)"), ("detached", "a tensor of shape ()"), ("nan", "float")],
)
def test_what_is_no_loss_is_refused(task, loss, says):
    with pytest.raises(TrainError) as error:
        task_loss(task(loss), torch.tensor(OUTPUTS, requires_grad=True), torch.tensor(LABELS))
    assert f"{loss} returns {says}" in error.value.what


@pytest.mark.parametrize(
    ("metric", "says"), [("nan", "is nan"), ("several", "of shape (2, 2), not a number")]
)
def test_what_is_no_metric_is_refused(task, metric, says):
    with pytest.raises(DataError) as error:
        task(metric=metric).measure(OUTPUTS, LABELS)
    assert says in error.value.what


def test_metric_refuses_zero_samples(task):
    with pytest.raises(DataError, match="zero samples"):
        task().measure(OUTPUTS[:0], LABELS[:0])


def test_functions_are_looked_up_before_training(task):
    task().check_labels(LABELS)
    with pytest.raises(SpecError, match="no function 'none'"):
        task(metric="none").check_labels(LABELS)


def test_nothing_runs_that_is_not_allowed(task, monkeypatch):
    built = task()
    monkeypatch.setattr(user_code, "_ALLOWED", False)
    with pytest.raises(SpecError, match="runs code of yours"):
        built.measure(OUTPUTS, LABELS)
