from edgekd.core.schedule import Schedule
from edgekd.distill.hinton import HintonSpec
from edgekd.distill.none import NoneSpec
from edgekd.tasks.classification import ClassificationSpec

TASK = ClassificationSpec()


def test_none_trains_nothing() -> None:
    assert NoneSpec().phases(TASK) == ()


def test_needs_teacher_is_said_by_the_losses() -> None:
    assert not NoneSpec().needs_teacher(TASK)
    assert HintonSpec(schedule=Schedule(epochs=1, learning_rate=0.1)).needs_teacher(TASK)
