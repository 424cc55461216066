"""The target ``onnxruntime``: ONNX Runtime on the CPU."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

import numpy as np
import onnx
import onnx_ir as ir

from edgekd.core.profile import ProfileName
from edgekd.errors import BuildError, LowerError
from edgekd.lower.float_reference import activation_marks
from edgekd.lower.lint import LintFinding, lint
from edgekd.lower.onnxruntime_dialect import file_bits, lower_for_onnxruntime
from edgekd.lower.quantize_activations import stored_zero_point
from edgekd.lower.saturation import LARGEST_SAFE_CODE
from edgekd.runtimes.coverage import coverage
from edgekd.runtimes.here import HERE
from edgekd.runtimes.host import Host
from edgekd.runtimes.mistakes import mistakes_behind
from edgekd.runtimes.onnx_runtime import node_times, optimized_graph, tap, tap_everything
from edgekd.runtimes.saturation import saturation
from edgekd.runtimes.session import Tensors, fitting, same_values
from edgekd.runtimes.target import BitsAsked, Inside, TargetSpec


class OnnxRuntimeTarget(TargetSpec):
    """ONNX Runtime's CPU kernels, x86 and ARM. The engine is the lowered file itself."""

    engine_suffix = ".onnx"

    kind: Literal["onnxruntime"] = "onnxruntime"

    @property
    def profiles(self) -> Sequence[ProfileName]:
        """``tensorrt`` is missing: with zero point 0 behind a ReLU the convolutions would run in float."""
        return ("ort", "portable")

    def bits_note(self, bits: BitsAsked, *, runtime_version: str = "") -> str:
        """Say what fewer than 8 bits buy, a smaller file and no saturation, not speed; and what 8 need."""
        said = []
        if bits.weight_bits < 8:
            stored = min(width for width in file_bits(runtime_version) if bits.weight_bits <= width)
            size = f"stored in {stored} bits each" if stored < 8 else "stored in 8 bits each, not smaller"
            said.append(f"weights of {bits.weight_bits} bits are {size}")
        if bits.narrow_activations:
            said.append(bits.narrow_activations)
        if said:
            said.append("all is computed as 8-bit codes, not faster than with 8 bits")
        return "; ".join([*said, _saturation_note(bits)])

    def lower(self, marked: ir.Model, *, metadata: Mapping[str, str], runtime_version: str = "") -> ir.Model:
        """Rewrite a marked graph into uint8 / int8 / int32 Q/DQ."""
        return lower_for_onnxruntime(marked, metadata=metadata, runtime_version=runtime_version)

    def lint(self, model: ir.Model) -> tuple[LintFinding, ...]:
        """Return what costs an integer kernel, or computes other numbers than the graph says."""
        return lint(model)

    def runtime_version(self, *, host: Host = HERE) -> str:
        """Return ONNX Runtime's version; LowerError if it is too old for any engine."""
        version = super().runtime_version(host=host)
        file_bits(version)
        return version

    def look_inside(
        self,
        engine: Path,
        feeds: Tensors,
        *,
        marked: Path | None = None,
        source: Path | None = None,
        host: Host = HERE,
    ) -> Inside:
        """Save the optimised graph, run that with every tensor as an output, and compare with the engine."""
        optimized = optimized_graph(engine, threads=self.threads, host=host)
        tensors = {**tap_everything(optimized, feeds, host=host), **feeds}
        with self.open(engine, host=host) as session:
            computed = session.run(feeds)
            one = {name: fitting(value, session.fixed_batch or 1) for name, value in feeds.items()}
        _must_agree(computed, tensors, where=engine, what="saving the optimised graph")
        codes: Tensors = {} if marked is None else self._codes(engine, marked, feeds, computed, host)
        times = node_times(optimized, one, threads=self.threads, host=host) if host.times else []
        mistakes = mistakes_behind(optimized, ir.load(engine))
        covered = coverage(optimized, tensors, times, mistakes)
        risks = saturation(optimized, tensors, protected=host.saturates())
        return Inside(covered, optimized, tensors, codes, risks)

    def _codes(self, engine: Path, marked: Path, feeds: Tensors, computed: Tensors, host: Host) -> Tensors:
        """Make the tensors of codes outputs of the lowered file, which is then optimised as always."""
        marks = activation_marks(ir.load(marked))
        model = onnx.load(engine)
        present = {name for node in model.graph.node for name in node.output}
        if missing := [mark.name for mark in marks if mark.codes_name not in present]:
            what = f"tensors not found in the engine: {', '.join(missing[:5])}"
            raise LowerError(what, where=str(engine), fix="give the marked graph that it was lowered from")
        watched = [mark.codes_name for mark in marks]
        with host.open(tap(model, watched), threads=self.threads) as session:
            values = session.run(feeds)
        _must_agree(computed, values, where=engine, what="watching its tensors")
        return {
            mark.name: values[mark.codes_name].astype(np.int32) - stored_zero_point(mark.qmin)
            for mark in marks
        }


def _must_agree(computed: Tensors, watched: Tensors, *, where: Path, what: str) -> None:
    tensors = {name: value for name, value in computed.items() if isinstance(value, np.ndarray)}
    changed = [
        name
        for name, value in tensors.items()
        if name not in watched or not same_values(value, watched[name])
    ]
    if changed:
        message = f"{what} changes the engine's outputs {', '.join(changed)}"
        raise BuildError(message, where=str(where), fix="report it: what is proved would not be what runs")


def _saturation_note(bits: BitsAsked) -> str:
    need = "CPUs without VNNI need session.x64quantprecision=1"
    if bits.largest_code > LARGEST_SAFE_CODE:
        return f"codes reach {bits.largest_code}, so {need}"
    safe = f"sums of codes up to {bits.largest_code} cannot saturate on CPUs without VNNI"
    if bits.largest_end_code > LARGEST_SAFE_CODE:
        return f"{safe}, but codes of the first or last layer reach {bits.largest_end_code}, so {need}"
    return safe
