"""The verb ``export``: a trained student becomes files."""

import copy
from collections.abc import Mapping
from pathlib import Path

from torch import Tensor, fx

from edgekd.errors import SchemeError
from edgekd.export.export_marked import write_marked
from edgekd.lower.marked import MARKED
from edgekd.runtimes.onnx_runtime_target import OnnxRuntimeTarget
from edgekd.runtimes.stages import MODEL, write_lowered
from edgekd.runtimes.target import TargetSpec


def export(
    student: fx.GraphModule,
    probes: Tensor,
    folder: str | Path,
    *,
    target: TargetSpec | None = None,
    runtime_version: str = "",
    metadata: Mapping[str, str] | None = None,
) -> Path:
    """Write a trained student as integer ONNX, with what :func:`edgekd.verify` needs to prove it.

    Args:
        student: What :func:`edgekd.prepare` returned, trained.
        probes: A few inputs (n >= 2, ...) that fidelity is measured on.
        folder: Gets ``model.onnx`` (the engine), ``marked.onnx`` (the trained network) and ``probes.npy``.
        target: The runtime; by default ONNX Runtime.
        runtime_version: Of the runtime that is to load the file, such as 1.19.2: before 1.23 ONNX Runtime
            loads no codes of 4 bits. Empty for a current one.
        metadata: Written into the file: class names, colour order, whatever the board has to know.

    Returns:
        Path of ``model.onnx``.

    Raises:
        SchemeError: If the target cannot run the profile that the student was prepared for.
        ExportError: If torch cannot export the network, or the exported graph differs from torch.
        LowerError: If the target's dialect cannot express it.
    """
    target = target or OnnxRuntimeTarget()
    profile = student.meta.get("profile", "ort")
    if profile not in target.profiles:
        what = f"{target.kind} cannot run a student of profile {profile!r} in integers"
        raise SchemeError(
            what, where="edgekd.export", fix=f"prepare it for one of: {', '.join(target.profiles)}"
        )
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    write_marked(folder, copy.deepcopy(student).cpu(), probes.cpu())
    write_lowered(
        folder / MARKED,
        folder / MODEL,
        target=target,
        metadata=metadata or {},
        runtime_version=runtime_version,
    )
    return folder / MODEL
