"""What every distillation method has to be; a new one is tested the moment it is in the union."""

from typing import Any

import pytest
import torch
from pydantic import TypeAdapter

from edgekd.distill.method import DistillMethod
from edgekd.spec import KINDS, members
from edgekd.tasks.classification import ClassificationSpec

TASK = ClassificationSpec()
SCHEDULE = {"epochs": 2, "learning_rate": 0.01}


def _method(kind: str) -> DistillMethod:
    fields: dict[str, Any] = {"kind": kind} if kind == "none" else {"kind": kind, "schedule": SCHEDULE}
    method: DistillMethod = TypeAdapter(KINDS["distill"]).validate_python(fields)
    return method


@pytest.mark.parametrize("kind", members("distill"))
def test_phases_have_a_name_and_train(kind: str) -> None:
    for phase in _method(kind).phases(TASK):
        assert phase.name
        assert phase.schedule.epochs >= 1


@pytest.mark.parametrize("kind", members("distill"))
def test_loss_falls_along_its_gradient(kind: str) -> None:
    generator = torch.Generator().manual_seed(0)
    y = torch.tensor([0, 1, 2, 1])
    logits_t = torch.randn(4, 3, generator=generator)
    for phase in _method(kind).phases(TASK):
        logits_s = torch.randn(4, 3, generator=generator, requires_grad=True)
        before = phase.loss(logits_s, logits_t, y)
        before.backward()
        assert before.shape == ()
        assert logits_s.grad is not None
        after = phase.loss((logits_s - 0.1 * logits_s.grad).detach(), logits_t, y)
        assert float(after) < float(before.detach())


def test_none_trains_nothing_and_needs_no_teacher() -> None:
    assert _method("none").phases(TASK) == ()
    assert not _method("none").needs_teacher(TASK)
    assert _method("hinton").needs_teacher(TASK)
