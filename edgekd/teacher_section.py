"""The ``teacher`` section: one or several teachers, and assistants between them and the student."""

from typing import Annotated

from pydantic import Discriminator, Tag

from edgekd.data.dataset import DataInfo
from edgekd.distill.train_assistant import AssistantSpec, AssistantTraining, EqualAssistants
from edgekd.search.given_student import FixedStudentSpec
from edgekd.teacher.export_teacher import SharingTeacherSpec, TeacherSpec
from edgekd.teacher.onnx_teacher import OnnxTeacherSpec
from edgekd.unions import Network, TeacherNetwork
from edgekd.zoo.sizes import equal_ratios
from edgekd.zoo.student import StudentSpec


class OneTeacher(TeacherSpec):
    """A teacher as stages see it."""

    network: TeacherNetwork


class OtherTeacher(SharingTeacherSpec):
    """One of several teachers."""

    network: TeacherNetwork

    @property
    def alone(self) -> OneTeacher:
        """The same without those beside it: how it came to be."""
        return OneTeacher(**{name: getattr(self, name) for name in OneTeacher.model_fields})


class Assistant(AssistantSpec):
    """A network between teacher and student."""

    network: Network

    @property
    def as_teacher(self) -> OneTeacher:
        """What it is to the one that it teaches."""
        return OneTeacher(network=self.network, training=self.training)


Assistants = Annotated[
    Annotated[tuple[Assistant, ...], Tag("array")] | Annotated[EqualAssistants, Tag("object")],
    Discriminator(lambda value: "array" if isinstance(value, list | tuple) else "object"),
]


class Teacher(OtherTeacher):
    """The ``teacher`` section.

    Attributes:
        others: Teachers beside it: the mean of all of them is heard, and all are frozen. Reports compare with
            the accuracy and latency of this one.
        assistants: Networks between it and the student, from large to small: each learns from the one before,
            and the student from the last. A list of networks, or a number of them in equal ratios.
    """

    others: tuple[OtherTeacher, ...] = ()
    assistants: Assistants = ()

    @property
    def members(self) -> tuple[OtherTeacher, ...]:
        """All teachers, itself first."""
        own = OtherTeacher(**{name: getattr(self, name) for name in OtherTeacher.model_fields})
        return (own, *self.others)

    def chain(self, student: StudentSpec, info: DataInfo) -> tuple[Assistant, ...]:
        """Return the assistants on the way to a student."""
        equal = self.assistants
        if isinstance(equal, tuple):
            return equal
        assert isinstance(student, FixedStudentSpec)  # the pipeline has refused the others
        assert not isinstance(self.network, OnnxTeacherSpec)
        learning = {name: getattr(equal, name) for name in AssistantTraining.model_fields}
        networks = equal_ratios(self.network, student.network, equal.count, info)
        return tuple(Assistant(network=network, **learning) for network in networks)
