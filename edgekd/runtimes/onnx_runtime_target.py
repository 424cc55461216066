"""The target ``onnxruntime``: ONNX Runtime on the CPU."""

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

import onnx_ir as ir
import onnxruntime

from edgekd.core.profile import ProfileName
from edgekd.lower.onnxruntime_dialect import lower_for_onnxruntime
from edgekd.runtimes.onnx_runtime import open_session
from edgekd.runtimes.target import TargetSpec


class OnnxRuntimeTarget(TargetSpec):
    """ONNX Runtime's CPU kernels, x86 and ARM. The engine is the lowered file itself."""

    kind: Literal["onnxruntime"] = "onnxruntime"

    @property
    def profiles(self) -> Sequence[ProfileName]:
        """``tensorrt`` is missing: with zero point 0 behind a ReLU the convolutions would run in float."""
        return ("ort", "portable")

    def lower(self, marked: ir.Model, *, metadata: Mapping[str, str]) -> ir.Model:
        """Rewrite a marked graph into uint8 / int8 / int32 Q/DQ."""
        return lower_for_onnxruntime(marked, metadata=metadata)

    def runtime_version(self) -> str:
        """Return ONNX Runtime's version."""
        return str(onnxruntime.__version__)

    def build(self, model: Path, engine: Path) -> None:
        """Prove that the file loads, and keep it as it is."""
        open_session(model, threads=self.threads)
        shutil.copyfile(model, engine)
