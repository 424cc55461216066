"""What a target is: a runtime on a device, from the marked graph to an engine that can be opened."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path

import onnx_ir as ir
from pydantic import Field

from edgekd.core.profile import ProfileName
from edgekd.core.spec_base import Spec


class TargetSpec(Spec, ABC):
    """A target as a pipeline file names it.

    Attributes:
        kind: The runtime.
        threads: Threads of one inference.
        batch: Images per inference, or 0 for a free first dimension.
    """

    kind: str
    threads: int = Field(default=1, ge=1)
    batch: int = Field(default=0, ge=0)

    @property
    @abstractmethod
    def profiles(self) -> Sequence[ProfileName]:
        """Profiles whose students this runtime executes in integers."""

    @abstractmethod
    def lower(self, marked: ir.Model, *, metadata: Mapping[str, str]) -> ir.Model:
        """Rewrite a marked graph into the runtime's dialect."""

    @abstractmethod
    def runtime_version(self) -> str:
        """Return the version that builds and runs engines here."""

    @abstractmethod
    def build(self, model: Path, engine: Path) -> None:
        """Turn a lowered file into what the runtime loads on this machine, or raise BuildError."""
