"""The stage ``search_student``: which architecture the student has."""

from pathlib import Path
from typing import Literal

from edgekd.core.artifact import stage
from edgekd.core.atomic import write_json
from edgekd.zoo.student import StudentArch, StudentSpec


class FixedStudentSpec(StudentSpec):
    """The architecture is given."""

    kind: Literal["fixed"] = "fixed"


@stage(StudentArch, version=1)
def search_student(folder: Path, student: StudentSpec) -> None:
    """Write the chosen architecture."""
    write_json(folder / "network.json", student.network.architecture)
