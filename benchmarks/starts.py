"""What a pipeline's training starts from, for benchmarks that go on in another way."""

from edgekd.core.store import Store
from edgekd.export.float_network import FloatStudent
from edgekd.pipeline import GIVEN
from edgekd.search.search_student import search_student
from edgekd.search.train_student import train_student
from edgekd.spec import Pipeline
from edgekd.teacher.export_teacher import Teacher, export_teacher
from edgekd.zoo.student import StudentArch


def make_start(spec: Pipeline, store: Store) -> tuple[Teacher, StudentArch, FloatStudent]:
    """Make, or find, the teacher and the float student of a pipeline that has a teacher."""
    assert spec.teacher is not None, "this pipeline has no teacher"
    trained = (spec.training, spec.seed) if spec.teacher.training else GIVEN
    teacher = store.run(export_teacher, spec.teacher.origin, spec.data, spec.task, *trained)
    arch = store.run(search_student, spec.student)
    trained = (spec.training, spec.seed) if spec.student.training else GIVEN
    float_student = store.run(train_student, spec.student, arch, spec.data, spec.task, *trained)
    return teacher, arch, float_student
