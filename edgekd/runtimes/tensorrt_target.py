"""The targets ``tensorrt`` and ``tensorrt_rtx``: NVIDIA's GPUs."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import ClassVar, Literal

import numpy as np
import onnx
import onnx_ir as ir
from pydantic import field_validator

from edgekd.core.atomic import write_bytes
from edgekd.core.layout import user_cache
from edgekd.core.profile import ProfileName
from edgekd.errors import BuildError, RuntimeMissing
from edgekd.lower.float_reference import activation_marks
from edgekd.lower.lint import LintFinding
from edgekd.lower.tensorrt_dialect import FloatParts, lower_for_tensorrt
from edgekd.lower.tensorrt_lint import lint_tensorrt
from edgekd.runtimes.coverage import Coverage
from edgekd.runtimes.here import HERE
from edgekd.runtimes.host import KNOWN, Host
from edgekd.runtimes.onnx_runtime import PROFILED_RUNS, mean_times, tap
from edgekd.runtimes.readiness import Readiness
from edgekd.runtimes.session import DEFAULT_BATCH, Session, Tensors
from edgekd.runtimes.target import BitsAsked, Inside, TargetSpec, Tolerance
from edgekd.runtimes.tensorrt_coverage import (
    engine_coverage,
    file_coverage,
    layers_of_inspector,
    layers_of_log,
)
from edgekd.runtimes.watch import watch_codes


class NvidiaTarget(TargetSpec):
    """What TensorRT and TensorRT-RTX have in common.

    Attributes:
        float_parts: Type of all that is not int8: what stands between quantizers.
    """

    engine_suffix = ".plan"
    tolerance: ClassVar[Tolerance] = Tolerance(
        agreement=0.98, reason="TensorRT fuses what stands between quantizers and adds in orders of its own"
    )

    float_parts: FloatParts = "fp32"

    @field_validator("threads")
    @classmethod
    def _has_none(cls, threads: int) -> int:
        if threads != 1:
            msg = "an engine on a GPU has no threads: leave it out"
            raise ValueError(msg)
        return threads

    @property
    def profiles(self) -> Sequence[ProfileName]:
        """``ort`` is missing: int8 with zero point 0 holds 127 steps above 0, not 255."""
        return ("tensorrt", "portable")

    def bits_note(self, bits: BitsAsked, *, runtime_version: str = "") -> str:
        """Say what fewer than 8 bits buy: nothing."""
        if bits.weight_bits == 8 and not bits.narrow_activations:
            return ""
        return (
            "fewer than 8 bits are computed and stored as int8: neither smaller nor faster than with 8 bits"
        )

    def lower(self, marked: ir.Model, *, metadata: Mapping[str, str], runtime_version: str = "") -> ir.Model:
        """Rewrite a marked graph into int8 Q/DQ with zero point 0."""
        return lower_for_tensorrt(marked, metadata=metadata, float_parts=self.float_parts)

    @property
    def reader(self) -> TargetSpec:
        """ONNX Runtime: TensorRT opens engines."""
        return self.stand_in("")

    def lint(self, model: ir.Model) -> tuple[LintFinding, ...]:
        """Return what TensorRT refuses, reads as something else, or computes in float."""
        return lint_tensorrt(model)

    def readiness(self, *, host: Host = HERE) -> Readiness:
        """Return what the host can do: without the package only lower, without a GPU not run."""
        try:
            facts = host.facts(self.kind)
        except RuntimeMissing as e:
            reason = f"{KNOWN[self.kind].title} is not installed: {e.fix}"
            return Readiness("", not_built=reason, not_run=reason)
        gpu, version = str(facts["gpu"]), str(facts["version"])
        if gpu:
            return Readiness(version, gpu=gpu)
        missing = "there is no NVIDIA GPU: name a device that has one, as device: ssh:HOST"
        return Readiness(version, not_built="" if facts["builds_without_gpu"] else missing, not_run=missing)

    def build(self, model: Path, engine: Path, *, host: Host = HERE) -> str:
        """Have the host build an engine, here with the timings of earlier builds.

        What a board has timed is given to no other machine: it may be anybody's.
        """
        cache = self._cache(host)
        known = cache.read_bytes() if host is HERE and cache.is_file() else b""
        options = {"usual_batch": self.batch or 1, "largest_batch": max(self.batch, DEFAULT_BATCH)}
        built = host.build(model, options, runtime=self.kind, cache=known)
        engine.write_bytes(built.engine)
        if host is HERE and built.cache and built.cache != known:
            cache.parent.mkdir(parents=True, exist_ok=True)
            write_bytes(cache, built.cache)
        return built.log

    def stand_in(self, build_log: str) -> TargetSpec:
        """Return the file's function in float, on ONNX Runtime without optimisations."""
        return QdqInFloat(threads=self.threads, build_log=build_log)

    def look_inside(
        self,
        engine: Path,
        feeds: Tensors,
        *,
        marked: Path | None = None,
        source: Path | None = None,
        host: Host = HERE,
    ) -> Inside:
        """Run an engine, ask its inspector, and build it again for each code that can be watched."""
        with self.open(engine, host=host) as session:
            computed = session.run(feeds)
        layers = layers_of_inspector(host.shown(engine, runtime=self.kind))
        ran = host.profile(engine, feeds, runs=PROFILED_RUNS, runtime=self.kind)
        model = None if source is None else ir.load(source)
        covered = engine_coverage(layers, model, mean_times(ran))
        codes: Tensors = {}
        if marked is not None and source is not None:
            codes = self._codes(source, marked, feeds, computed, host)
        return Inside(covered, None, {**computed, **feeds}, codes)

    def _codes(self, source: Path, marked: Path, feeds: Tensors, computed: Tensors, host: Host) -> Tensors:
        def run(tapped: bytes) -> Tensors:
            with TemporaryDirectory(prefix="edgekd-") as scratch:
                file, engine = Path(scratch) / "tapped.onnx", Path(scratch) / "engine"
                file.write_bytes(tapped)
                self.build(file, engine, host=host)
                with self.open(engine, host=host) as session:
                    return session.run(feeds)

        marks = activation_marks(ir.load(marked))
        int8 = onnx.TensorProto.INT8
        return watch_codes(onnx.load(source), marks, computed, run, lambda mark: 0, elem_type=int8)

    def _cache(self, host: Host) -> Path:
        facts = host.facts(self.kind)
        name = "".join(
            letter if letter.isalnum() else "_" for letter in f"{self.kind}-{facts['version']}-{facts['gpu']}"
        )
        return user_cache() / "edgekd" / "timing" / f"{name}.cache"


class TensorRtTarget(NvidiaTarget):
    """TensorRT 10 and 11, on a PC or a Jetson; engines are built on the device."""

    kind: Literal["tensorrt"] = "tensorrt"


class TensorRtRtxTarget(NvidiaTarget):
    """TensorRT-RTX: GPUs from Ampere on. Engines are built anywhere and finished where they are loaded."""

    kind: Literal["tensorrt_rtx"] = "tensorrt_rtx"


class QdqInFloat(TargetSpec):
    """A Q/DQ file as it stands: every operator in float, every quantizer where the file has it.

    Attributes:
        build_log: What a builder said of the engine of the same file; empty without one.
    """

    engine_suffix = ".onnx"
    tolerance: ClassVar[Tolerance] = NvidiaTarget.tolerance

    kind: Literal["onnxruntime"] = "onnxruntime"
    build_log: str = ""

    @property
    def profiles(self) -> Sequence[ProfileName]:
        """All: nothing is fused."""
        return ("ort", "tensorrt", "portable")

    def bits_note(self, bits: BitsAsked, *, runtime_version: str = "") -> str:
        """It is no runtime that anybody ships."""
        return ""

    def lower(self, marked: ir.Model, *, metadata: Mapping[str, str], runtime_version: str = "") -> ir.Model:
        """Lower as TensorRT's files are."""
        return lower_for_tensorrt(marked, metadata=metadata)

    def open(self, engine: Path, *, host: Host = HERE) -> Session:
        """Load the file and leave its operators as they are."""
        return host.open(engine, threads=self.threads, optimize=False)

    def look_inside(
        self,
        engine: Path,
        feeds: Tensors,
        *,
        marked: Path | None = None,
        source: Path | None = None,
        host: Host = HERE,
    ) -> Inside:
        """Run the file with every quantizer's codes as an output; the builder's log says what is integer."""
        marks = [] if marked is None else activation_marks(ir.load(marked))
        model, file = onnx.load(engine), ir.load(engine)
        tapped = tap(model, [mark.codes_name for mark in marks])
        with host.open(tapped, threads=self.threads, optimize=False) as session:
            values = session.run(feeds)
        codes = {mark.name: values[mark.codes_name].astype(np.int32) for mark in marks}
        covered = self._coverage(file)
        return Inside(covered, None, {**values, **feeds}, codes)

    def _coverage(self, file: ir.Model) -> Coverage:
        layers = layers_of_log(self.build_log)
        if self.build_log and not layers:
            what = "what the builder says of the engine's layers cannot be read"
            raise BuildError(what, fix="report it, with the version of TensorRT-RTX")
        return engine_coverage(layers, file, {}, source="builder") if layers else file_coverage(file)
