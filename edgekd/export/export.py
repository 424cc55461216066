"""The verb ``export``: a trained student becomes files."""

from collections.abc import Mapping
from pathlib import Path

import onnx
import onnx_ir as ir
from torch import Tensor, fx

from edgekd.export.export_marked import write_marked
from edgekd.lower.marked import MARKED
from edgekd.runtimes.onnx_runtime_target import OnnxRuntimeTarget
from edgekd.runtimes.stages import MODEL
from edgekd.runtimes.target import TargetSpec


def export(
    student: fx.GraphModule,
    probes: Tensor,
    folder: str | Path,
    *,
    target: TargetSpec | None = None,
    metadata: Mapping[str, str] | None = None,
) -> Path:
    """Write a trained student as integer ONNX, with what :func:`edgekd.verify` needs to prove it.

    Args:
        student: What :func:`edgekd.prepare` returned, trained.
        probes: A few inputs (n >= 2, ...) that fidelity is measured on.
        folder: Gets ``model.onnx`` (the engine), ``marked.onnx`` (the trained network) and ``probes.npy``.
        target: The runtime; by default ONNX Runtime.
        metadata: Written into the file: class names, colour order, whatever the board has to know.

    Returns:
        Path of ``model.onnx``.

    Raises:
        ExportError: If torch cannot export the network, or the exported graph differs from torch.
        LowerError: If the target's dialect cannot express it.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    write_marked(folder, student, probes)
    model = (target or OnnxRuntimeTarget()).lower(ir.load(folder / MARKED), metadata=metadata or {})
    ir.save(model, folder / MODEL)
    onnx.checker.check_model(str(folder / MODEL), full_check=True)
    return folder / MODEL
