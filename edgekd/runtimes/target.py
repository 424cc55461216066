"""What a target is: a runtime, from the marked graph to an engine that runs and can be looked into."""

import shutil
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import onnx
import onnx_ir as ir
from pydantic import Field

from edgekd.core.machine import MAX_THREADS
from edgekd.core.profile import ProfileName
from edgekd.core.spec_base import Spec
from edgekd.lower.lint import LintFinding
from edgekd.runtimes.coverage import Coverage
from edgekd.runtimes.here import HERE
from edgekd.runtimes.host import Host
from edgekd.runtimes.readiness import Readiness
from edgekd.runtimes.saturation import Saturation
from edgekd.runtimes.session import Session, Tensors


@dataclass(frozen=True)
class Inside:
    """What a runtime shows of the graph that it runs.

    Attributes:
        coverage: Which operators run on integers, and why the others do not.
        optimized: The graph after the runtime's own optimisations; None where it shows none of ONNX.
        tensors: Value of every tensor of ``optimized``, or of every output, for the feeds, those among them.
        codes: Centred codes of the activation quantizers that can be watched without changing what the
            engine computes, by mark; empty without a marked graph.
        saturation: Layers that CPUs without VNNI may compute otherwise; empty where no such CPU runs them.
    """

    coverage: Coverage
    optimized: onnx.ModelProto | None
    tensors: Tensors
    codes: Tensors
    saturation: tuple[Saturation, ...] = ()


@dataclass(frozen=True)
class Tolerance:
    """How far a runtime whose arithmetic is its own may be from what was trained.

    Attributes:
        agreement: Fraction of test samples on which engine and trained student must agree, at least.
        reason: Why not every code is exact.
    """

    agreement: float
    reason: str


@dataclass(frozen=True)
class BitsAsked:
    """The bits of a pipeline.

    Attributes:
        weight_bits: Of the layers between the first and the last.
        largest_code: Largest magnitude of their codes.
        largest_end_code: Largest magnitude of the codes of the first and the last layer.
        activation_bits: Of activations.
        residual_bits: Of what residual additions read and make.
    """

    weight_bits: int
    largest_code: int
    largest_end_code: int
    activation_bits: int
    residual_bits: int

    @property
    def narrow_activations(self) -> str:
        """What it buys to have fewer than 8 bits in what is no weight; empty where none has."""
        if self.activation_bits < 8:
            return f"activations of {self.activation_bits} bits make nothing smaller"
        if self.residual_bits < 8:
            return f"a residual stream of {self.residual_bits} bits makes nothing smaller"
        return ""


class TargetSpec(Spec, ABC):
    """A target as a pipeline file names it: everything that edgekd knows of a runtime.

    Attributes:
        engine_suffix: End of the name of an engine's file, as people expect it.
        tolerance: What is demanded of its engines; None: every code is exact, which is proved node by node.
        float_products: What is to be known of products of two activations, where they are not all integer.
        kind: The runtime, by the name that hosts know.
        threads: Threads of one inference.
        batch: Images per inference, or 0 for a free first dimension.
    """

    engine_suffix: ClassVar[str]
    tolerance: ClassVar[Tolerance | None] = None
    float_products: ClassVar[str] = ""

    kind: str
    threads: int = Field(default=1, ge=1, le=MAX_THREADS)
    batch: int = Field(default=0, ge=0)

    @property
    def options(self) -> str:
        """What is set otherwise than by default, as ``threads 2, batch 8``; empty for nothing."""
        own = {
            name: field for name, field in type(self).model_fields.items() if name not in ("kind", "device")
        }
        changed = [name for name, field in own.items() if getattr(self, name) != field.default]
        return ", ".join(f"{name.replace('_', ' ')} {getattr(self, name)}" for name in changed)

    @property
    @abstractmethod
    def profiles(self) -> Sequence[ProfileName]:
        """Profiles whose students this runtime executes in integers."""

    @abstractmethod
    def bits_note(self, bits: BitsAsked, *, runtime_version: str = "") -> str:
        """Say what fewer than 8 bits buy on this runtime, or 8 risk; empty if there is nothing to say.

        Args:
            bits: What a pipeline asks for.
            runtime_version: As in `lower`.
        """

    @abstractmethod
    def lower(self, marked: ir.Model, *, metadata: Mapping[str, str], runtime_version: str = "") -> ir.Model:
        """Rewrite a marked graph into the dialect of a version of the runtime; empty means a current one."""

    def runtime_version(self, *, host: Host = HERE) -> str:
        """Return the version that builds and runs engines on the host.

        Raises:
            LowerError: If no engine can be made for it.
        """
        return host.runtime_version(self.kind)

    def readiness(self, *, host: Host = HERE) -> Readiness:
        """Return what of building and running engines the host can do."""
        return Readiness(self.runtime_version(host=host))

    def build(self, model: Path, engine: Path, *, host: Host = HERE) -> str:
        """Turn a file into what the runtime loads on the host, or raise BuildError.

        By default that is the file itself, once the runtime there has loaded it.

        Returns:
            What the builder said of the engine; empty where it says nothing.
        """
        self.open(model, host=host).close()
        shutil.copyfile(model, engine)
        return ""

    @property
    def reader(self) -> "TargetSpec":
        """What opens an ONNX file on any machine to see what it takes: by default the runtime itself."""
        return self

    def lint(self, model: ir.Model) -> tuple[LintFinding, ...]:
        """Return the mistakes in a file that the runtime punishes, as far as reading it shows them."""
        return ()

    def stand_in(self, build_log: str) -> "TargetSpec":
        """Return what computes a lowered file's function on a CPU, where its engine cannot run.

        Args:
            build_log: What the builder said of the engine; empty if there is none.
        """
        raise NotImplementedError

    def open(self, engine: Path, *, host: Host = HERE) -> Session:
        """Load an engine, or any model that the runtime reads, or raise BuildError with its own words."""
        return host.open(engine, runtime=self.kind, threads=self.threads)

    @abstractmethod
    def look_inside(
        self,
        engine: Path,
        feeds: Tensors,
        *,
        marked: Path | None = None,
        source: Path | None = None,
        host: Host = HERE,
    ) -> Inside:
        """Run an engine once, watched, and say what it really executes.

        Args:
            engine: The engine's file.
            feeds: Its inputs.
            marked: The marked graph that it was lowered from, to find the quantizers by name.
            source: The file that it was built from, where that is another one.
            host: Where it runs.

        Raises:
            BuildError: If what is looked into does not compute what the engine computes.
        """


@dataclass(frozen=True)
class BuiltModel:
    """A file, the target that opens it, where, and what it was built from if that is another file."""

    target: TargetSpec
    path: Path
    host: Host = HERE
    source: Path | None = None

    def open(self) -> Session:
        """Load it."""
        return self.target.open(self.path, host=self.host)
