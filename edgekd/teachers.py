"""Who teaches: the first steps of the pipeline, from the teacher section to whom the student hears."""

from dataclasses import dataclass

from edgekd.core.store import Runner
from edgekd.distill.train_assistant import Assistant, train_assistant
from edgekd.spec import Pipeline
from edgekd.teacher.export_teacher import Teacher, export_teacher
from edgekd.teacher.several import Heard, HeardSpec
from edgekd.train.options import TrainSpec

GIVEN: tuple[TrainSpec | None, int] = (None, 0)
"""How a network with given weights is trained: not at all, and no seed makes it another one."""


@dataclass(frozen=True)
class Teachers:
    """Who teaches, in the order of learning; nobody where the method needs no teacher.

    Attributes:
        given: Those of the teacher section; the file of the first is what latency is compared with.
        assistants: Each learned from the one before; the first from the teachers.
        heard: Whom the student hears: the last assistant, else the teacher, or several as one.
        heard_spec: How they were made.
    """

    given: tuple[Teacher, ...]
    assistants: tuple[Assistant, ...]
    heard: Heard | None
    heard_spec: HeardSpec | None

    @property
    def imitated(self) -> tuple[Heard | None, HeardSpec | None]:
        """Whom the trials of a search imitate, and how they were made."""
        return (self.heard, self.heard_spec) if self.heard else (None, None)


def teach(spec: Pipeline, run: Runner) -> Teachers:
    """Make, or find, teachers and assistants: each assistant learns from the one before."""
    section, data, task = spec.teacher, spec.data, spec.task
    if section is None or not spec.distill.needs_teacher(task):
        return Teachers((), (), None, section and section.alone)
    origins = [member.alone.origin for member in section.members]
    given = []
    for index, origin in enumerate(origins):
        twins = origins[:index].count(origin)  # trained alike, they would be one teacher
        trained = (spec.training, spec.seed + twins) if origin.training else GIVEN
        given.append(run.run(export_teacher, origin, data, task, *trained))
    heard: Heard = tuple(given) if section.others else given[0]
    heard_spec: HeardSpec = section.members if section.others else section.alone
    assistants: list[Assistant] = []
    for assistant in section.chain(spec.student, data.info()):
        heard = run.run(train_assistant, assistant, heard, heard_spec, data, task, spec.training, spec.seed)
        heard_spec = assistant.as_teacher
        assistants.append(heard)
    return Teachers(tuple(given), tuple(assistants), heard, heard_spec)
