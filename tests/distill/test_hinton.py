import json
from pathlib import Path
from typing import Any

import pytest
import torch

from edgekd.core.schedule import Schedule
from edgekd.distill.hinton import HintonSpec
from edgekd.distill.imitation import soft_divergence
from edgekd.tasks.classification import ClassificationSpec
from edgekd.train.phase import KdLoss

CASES = json.loads((Path(__file__).parent / "hinton.json").read_text())["cases"]
TASK = ClassificationSpec()


def _loss(temperature: float, alpha: float) -> KdLoss:
    schedule = Schedule(epochs=1, learning_rate=0.1)
    (phase,) = HintonSpec(temperature=temperature, alpha=alpha, schedule=schedule).phases(TASK)
    return phase.loss


@pytest.mark.parametrize("case", CASES, ids=[case["name"] for case in CASES])
def test_hinton_loss_is_what_was_computed_by_hand(case: dict[str, Any]) -> None:
    logits_s, logits_t = torch.tensor(case["logits_s"]), torch.tensor(case["logits_t"])
    if case["soft"] is not None:
        soft = soft_divergence(logits_s, logits_t, temperature=case["temperature"])
        assert float(soft) == pytest.approx(case["soft"], abs=1e-6)
    loss = _loss(case["temperature"], case["alpha"])
    assert float(loss(logits_s, logits_t, torch.tensor(case["y"]))) == pytest.approx(case["loss"], abs=1e-6)


def test_soft_divergence_is_zero_only_for_equal_distributions() -> None:
    logits = torch.tensor([[0.3, -2.0, 5.0]])
    assert float(soft_divergence(logits, logits + 7, temperature=3.0)) == pytest.approx(0, abs=1e-6)
    assert float(soft_divergence(logits, -logits, temperature=3.0)) > 1


def test_soft_divergence_gradient_keeps_its_size_when_the_temperature_changes() -> None:
    sizes = []
    for temperature in (10.0, 20.0):
        logits_s = torch.tensor([[0.1, -0.2, 0.3]], requires_grad=True)
        soft_divergence(logits_s, torch.tensor([[0.3, 0.0, -0.2]]), temperature=temperature).backward()
        assert logits_s.grad is not None
        sizes.append(float(logits_s.grad.norm()))
    assert sizes[0] == pytest.approx(sizes[1], rel=0.05)  # without T**2 it would be a factor of 4


def test_soft_divergence_is_finite_for_extreme_logits() -> None:
    logits_s = torch.tensor([[1e4, -1e4]], requires_grad=True)
    loss = soft_divergence(logits_s, torch.tensor([[-1e4, 1e4]]), temperature=4.0)
    loss.backward()
    assert torch.isfinite(loss)
    assert logits_s.grad is not None
    assert torch.isfinite(logits_s.grad).all()


def test_hinton_has_one_phase_that_needs_the_teacher() -> None:
    schedule = Schedule(epochs=3, learning_rate=0.01)
    (phase,) = HintonSpec(temperature=2.0, alpha=0.7, schedule=schedule).phases(TASK)
    assert (phase.schedule, phase.needs_teacher, phase.teacher) == (schedule, True, None)


@pytest.mark.parametrize("fields", [{"temperature": 0.0}, {"alpha": 1.1}, {"alpha": -0.1}])
def test_hinton_refuses_what_has_no_meaning(fields: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="Input should be"):
        HintonSpec(schedule=Schedule(epochs=1, learning_rate=0.1), **fields)
