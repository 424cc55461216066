"""The union of targets. It is apart from the others, because what measures imports no torch."""

from pathlib import Path
from typing import Annotated

from edgekd.core.spec_file import plugin_from_option
from edgekd.core.union import BY_KIND, members_by_kind
from edgekd.runtimes.here import HERE
from edgekd.runtimes.host import Host
from edgekd.runtimes.onnx_runtime_target import OnnxRuntimeTarget
from edgekd.runtimes.openvino_target import OpenVinoTarget
from edgekd.runtimes.target import BuiltModel, TargetSpec
from edgekd.runtimes.tensorrt_target import TensorRtRtxTarget, TensorRtTarget

AnyTarget = Annotated[OnnxRuntimeTarget | OpenVinoTarget | TensorRtTarget | TensorRtRtxTarget, BY_KIND]


def target_from_text(text: str, *, threads: int = 1) -> TargetSpec:
    """Return the target that a command line names, as ``KIND`` or a mapping.

    Raises:
        SpecError: If there is none of that kind, or it does not take what is written.
    """
    found: TargetSpec = plugin_from_option(AnyTarget, text, option="--target", text_form="KIND")
    return found if "threads" in found.model_fields_set else found.model_copy(update={"threads": threads})


def target_of_kind(kind: str, *, threads: int = 1) -> TargetSpec:
    """Return the target of a kind that is known to exist."""
    found: type[TargetSpec] = members_by_kind(AnyTarget)[kind]  # type: ignore[assignment]
    return found(kind=kind, threads=threads)


def runnable(target: TargetSpec, model: Path, engine: Path, *, host: Host = HERE) -> BuiltModel:
    """Return what of an ONNX file a target runs: the file itself, an engine, or what stands for one.

    Args:
        target: The runtime.
        model: The file, or an engine of the target.
        engine: Where to build one, if the runtime reads no ONNX.
        host: Where it runs.
    """
    if target.engine_suffix in (model.suffix, ".onnx"):
        return BuiltModel(target, model, host)
    ready = target.readiness(host=host)
    log = "" if ready.not_built else target.build(model, engine, host=host)
    if ready.not_run:
        return BuiltModel(target.stand_in(log), model)
    return BuiltModel(target, engine, host, source=model)
