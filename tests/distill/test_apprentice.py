import pytest
import torch

from edgekd.core.schedule import Schedule
from edgekd.distill.apprentice import ApprenticeSpec, ApprenticeTeacherLoss
from edgekd.tasks.classification import ClassificationSpec

TASK = ClassificationSpec()
SCHEDULE = Schedule(epochs=1, learning_rate=0.1)


@pytest.mark.parametrize(
    ("scheme", "student", "teacher"),
    [("A", "random", "random"), ("B", "random", "given"), ("C", "given", "given")],
)
def test_scheme_says_where_both_start_and_who_learns(scheme: str, student: str, teacher: str) -> None:
    spec = ApprenticeSpec.model_validate({"scheme": scheme, "schedule": SCHEDULE})
    assert (spec.student_start, spec.teacher_start) == (student, teacher)
    assert spec.trains_teacher(TASK) == (scheme == "A")
    assert spec.needs_teacher(TASK)


def test_both_learn_at_one_rate_from_the_same_outputs_in_scheme_a() -> None:
    (phase,) = ApprenticeSpec(scheme="A", schedule=SCHEDULE).phases(TASK)
    assert phase.teacher is not None
    assert (phase.teacher.rate, phase.teacher.update) == (1.0, "simultaneous")


def test_frozen_teacher_cannot_imitate() -> None:
    with pytest.raises(ValueError, match="teacher of scheme B is frozen"):
        ApprenticeSpec(scheme="B", teacher_imitates=True, schedule=SCHEDULE)


def test_teacher_has_no_logit_matching() -> None:
    with pytest.raises(ValueError, match="cannot imitate by logit_matching"):
        ApprenticeSpec(scheme="A", teacher_imitates=True, imitation="logit_matching", schedule=SCHEDULE)


@pytest.mark.parametrize("gamma", [0.0, 0.5])
def test_imitation_reaches_the_teacher_only_if_asked(gamma: float) -> None:
    """Without the labels' term only H(p_t, p_a) has a gradient."""
    logits_t = torch.tensor([[0.5, 0.0]], requires_grad=True)
    loss = ApprenticeTeacherLoss(TASK, alpha=0.0, gamma=gamma)
    loss(logits_t, torch.tensor([[0.0, 2.0]]), torch.tensor([0])).backward()
    assert logits_t.grad is not None
    assert bool(logits_t.grad.abs().sum() > 0.01) == (gamma > 0)
