import pytest

from edgekd.core.schedule import Schedule
from edgekd.distill.qkd import QkdSpec
from edgekd.tasks.classification import ClassificationSpec

TASK = ClassificationSpec()


def _parts(epochs: int, **fields: object) -> list[tuple[str, int, int]]:
    schedule = Schedule(epochs=epochs, learning_rate=0.1)
    phases = QkdSpec(schedule=schedule, **fields).phases(TASK)  # type: ignore[arg-type]
    assert all(phase.schedule == schedule for phase in phases)
    return [(phase.name, phase.epochs.start, phase.epochs.stop) for phase in phases]


@pytest.mark.parametrize(
    ("epochs", "alone", "together"), [(3, 1, 2), (4, 1, 3), (10, 2, 7), (20, 3, 13), (200, 30, 130)]
)
def test_phases_share_the_epochs_15_50_35(epochs: int, alone: int, together: int) -> None:
    assert _parts(epochs) == [
        ("self-studying", 0, alone),
        ("co-studying", alone, together),
        ("tutoring", together, epochs),
    ]


def test_phases_that_are_left_out_leave_their_epochs_to_the_others() -> None:
    assert _parts(10, co_studying=False) == [("self-studying", 0, 2), ("tutoring", 2, 10)]
    assert _parts(10, self_studying=0) == [("co-studying", 0, 7), ("tutoring", 7, 10)]
    assert _parts(1, self_studying=0, co_studying=False) == [("tutoring", 0, 1)]
    assert _parts(10, self_studying=0.6, tutoring=0.4, co_studying=False)[-1] == ("tutoring", 6, 10)
    assert _parts(2, self_studying=0.9, tutoring=0.05, co_studying=False)[-1] == ("tutoring", 1, 2)
    assert [stop - start for _, start, stop in _parts(5, self_studying=0.9, tutoring=0.05)] == [3, 1, 1]


def test_the_teacher_learns_while_co_studying_only() -> None:
    schedule = Schedule(epochs=10, learning_rate=0.1)
    spec = QkdSpec(schedule=schedule, teacher_rate=0.2, update="simultaneous")
    alone, together, taught = spec.phases(TASK)
    assert (alone.needs_teacher, alone.teacher, taught.teacher) == (False, None, None)
    assert taught.needs_teacher
    assert together.teacher is not None
    assert (together.teacher.rate, together.teacher.update) == (0.2, "simultaneous")
    assert spec.trains_teacher(TASK)
    assert not QkdSpec(schedule=schedule, co_studying=False).trains_teacher(TASK)


@pytest.mark.parametrize(
    ("epochs", "fields", "says"),
    [
        (2, {}, "2 epochs for 3 phases"),
        (1, {"co_studying": False}, "1 epochs for 2 phases"),
        (10, {"self_studying": 0.6, "tutoring": 0.4}, "below 1"),
    ],
)
def test_qkd_refuses_what_has_no_epochs(epochs: int, fields: dict[str, object], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        _parts(epochs, **fields)
