"""The stage ``given_student``: the student's architecture is the one that the pipeline file names."""

from pathlib import Path
from typing import Any, Literal

from edgekd.core.artifact import stage
from edgekd.core.atomic import write_json
from edgekd.zoo.network import NetworkSpec
from edgekd.zoo.student import NETWORK, StudentArch, StudentSpec


class FixedStudentSpec(StudentSpec):
    """The architecture is given.

    Attributes:
        network: It.
    """

    kind: Literal["fixed"] = "fixed"
    network: NetworkSpec

    @property
    def brings_weights(self) -> bool:
        """Whether the network does."""
        return self.network.brings_weights

    def network_of(self, written: dict[str, Any]) -> NetworkSpec:
        """Return the network, with the fields that make it what it is as the stage wrote them."""
        return self.network.with_architecture(written)


@stage(StudentArch, version=1)
def given_student(folder: Path, student: FixedStudentSpec) -> None:
    """Write the given architecture."""
    write_json(folder / NETWORK, student.network.architecture)
