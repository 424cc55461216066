"""The target ``openvino``: OpenVINO on the CPU."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import ClassVar, Literal

import onnx
import onnx_ir as ir

from edgekd.core.profile import ProfileName
from edgekd.lower.float_reference import activation_marks
from edgekd.lower.openvino_dialect import lower_for_openvino
from edgekd.lower.quantize_activations import stored_zero_point
from edgekd.lower.saturation import LARGEST_SAFE_CODE
from edgekd.runtimes.here import HERE
from edgekd.runtimes.host import Host
from edgekd.runtimes.onnx_runtime import PROFILED_RUNS, mean_times
from edgekd.runtimes.openvino_coverage import openvino_coverage, shown_nodes
from edgekd.runtimes.saturation import saturation_by_weights
from edgekd.runtimes.session import Tensors, fitting
from edgekd.runtimes.target import BitsAsked, Inside, TargetSpec, Tolerance
from edgekd.runtimes.watch import watch_codes

LARGEST_INT4_CODE = 7
_SAFE_CODES = (
    f"codes up to {LARGEST_SAFE_CODE} would not, as kind lsq has at 7 bits "
    "(bits, first_layer_bits and last_layer_bits)"
)


class OpenVinoTarget(TargetSpec):
    """OpenVINO's CPU kernels, x86 and ARM. The engine is the lowered file itself.

    What is left in float runs in float32: OpenVINO would take bfloat16 where a CPU has it.
    """

    engine_suffix = ".onnx"
    tolerance: ClassVar[Tolerance] = Tolerance(
        agreement=0.98,
        reason="OpenVINO fuses an addition into the convolution before it and does not round in between",
    )

    float_products: ClassVar[str] = (
        "OpenVINO takes the zero point off in float before it multiplies two activations, and multiplies "
        "what a softmax gives in float: attention is not all integer, so that compress exits with 3"
    )

    kind: Literal["openvino"] = "openvino"

    @property
    def profiles(self) -> Sequence[ProfileName]:
        """``tensorrt`` is missing: residual additions would be float kernels of their own."""
        return ("ort", "portable")

    def bits_note(self, bits: BitsAsked, *, runtime_version: str = "") -> str:
        """Say what fewer than 8 bits buy, a smaller file where they are 4, not speed; and what 8 risk."""
        said, large = [], max(bits.largest_code, bits.largest_end_code)
        if bits.weight_bits < 8:
            small = bits.largest_code <= LARGEST_INT4_CODE
            stored = "stored in 4 bits each" if small else "stored in 8 bits each, not smaller"
            said.append(f"weights of {bits.weight_bits} bits are {stored}")
        if bits.narrow_activations:
            said.append(bits.narrow_activations)
        if said:
            said.append("all is computed as 8-bit codes, not faster than with 8 bits")
        if bits.residual_bits < 8:
            said.append(
                f"residual additions read steps of {bits.residual_bits} bits, to which OpenVINO does not "
                "round what it fuses: where there are any, fewer answers are as in training, and compress "
                f"exits with 3 below {100 * self.tolerance.agreement:.0f} %"
            )
        if large > LARGEST_SAFE_CODE:
            said.append(f"sums of codes up to {large} saturate on CPUs without VNNI: {_SAFE_CODES}")
        elif said:
            said.append(f"sums of codes up to {large} cannot saturate on CPUs without VNNI")
        return "; ".join(said)

    def lower(self, marked: ir.Model, *, metadata: Mapping[str, str], runtime_version: str = "") -> ir.Model:
        """Rewrite a marked graph into Q/DQ that OpenVINO runs on integers."""
        return lower_for_openvino(marked, metadata=metadata)

    def look_inside(
        self,
        engine: Path,
        feeds: Tensors,
        *,
        marked: Path | None = None,
        source: Path | None = None,
        host: Host = HERE,
    ) -> Inside:
        """Read the graph that runs, its times, and the codes that can be watched."""
        with self.open(engine, host=host) as session:
            computed = session.run(feeds)
            one = {name: fitting(value, session.fixed_batch or 1) for name, value in feeds.items()}
        nodes = shown_nodes(host.shown(engine, runtime=self.kind, threads=self.threads))
        times = self._times(engine, one, host) if host.times else {}
        codes = {} if marked is None else self._codes(engine, marked, feeds, computed, host)
        return Inside(
            openvino_coverage(nodes, times, _op_types(onnx.load(engine))),
            None,
            {**computed, **feeds},
            codes,
            saturation_by_weights(ir.load(engine)),
        )

    def _times(self, engine: Path, feeds: Tensors, host: Host) -> dict[str, float]:
        ran = host.profile(engine, feeds, runs=PROFILED_RUNS, runtime=self.kind, threads=self.threads)
        return mean_times(ran)

    def _codes(self, engine: Path, marked: Path, feeds: Tensors, computed: Tensors, host: Host) -> Tensors:
        def run(tapped: bytes) -> Tensors:
            with host.open(tapped, runtime=self.kind, threads=self.threads) as session:
                return session.run(feeds)

        marks = activation_marks(ir.load(marked))
        return watch_codes(onnx.load(engine), marks, computed, run, lambda mark: stored_zero_point(mark.qmin))


def _op_types(model: onnx.ModelProto) -> dict[str, str]:
    """Return the types of a file's operators by their names and by those of their results."""
    return {name: node.op_type for node in model.graph.node for name in (node.name, *node.output) if name}
