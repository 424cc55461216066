"""The stage ``lower_for``: from the marked graph to a runtime's dialect, and what engines are."""

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

import onnx
import onnx_ir as ir

from edgekd.core.artifact import Artifact, stage
from edgekd.core.atomic import write_json
from edgekd.errors import LowerError
from edgekd.lower.marked import MarkedOnnx
from edgekd.lower.payload import LayerWeights, layer_weights
from edgekd.runtimes.target import TargetSpec

MODEL, LAYERS, ENGINE, BUILD_LOG = "model.onnx", "layers.json", "engine", "build.txt"


class TargetOnnx(Artifact):
    """A marked graph in a target's dialect."""

    @property
    def model_path(self) -> Path:
        """The lowered file."""
        return self.path(MODEL)

    def layers(self) -> tuple[LayerWeights, ...]:
        """Return how each quantized layer's weights are held in the file."""
        return tuple(LayerWeights(**layer) for layer in self.read_json(LAYERS))


class Engine(Artifact):
    """What a runtime loads on one kind of machine."""

    @property
    def engine_path(self) -> Path:
        """The engine's file; how its name ends depends on the runtime."""
        (found,) = self.folder.glob(f"{ENGINE}.*")
        return found

    @property
    def build_log(self) -> str:
        """What the builder said of the engine; empty where it says nothing."""
        path = self.folder / BUILD_LOG
        return path.read_text(encoding="utf-8") if path.exists() else ""


@stage(TargetOnnx, version=13)
def lower_for(
    folder: Path, target: TargetSpec, marked: MarkedOnnx, metadata: dict[str, str], runtime_version: str
) -> None:
    """Lower the marked graph, check the result and write down how it holds the weights."""
    model = write_lowered(
        marked.marked_path, folder / MODEL, target=target, metadata=metadata, runtime_version=runtime_version
    )
    write_json(folder / LAYERS, [asdict(layer) for layer in layer_weights(model)])


def write_lowered(
    marked: Path, path: Path, *, target: TargetSpec, metadata: Mapping[str, str], runtime_version: str = ""
) -> ir.Model:
    """Lower a marked file to ``path`` in the target's dialect, check it, and return the lowered graph.

    Raises:
        LowerError: If a mark cannot be expressed, or the runtime would not compute what the file says.
    """
    model = target.lower(ir.load(marked), metadata=metadata, runtime_version=runtime_version)
    if target.batch:
        for value in (*model.graph.inputs, *model.graph.outputs):
            assert value.shape is not None
            value.shape = ir.Shape([target.batch, *list(value.shape)[1:]])
    _must_suit(target, model, path)
    ir.save(model, path)
    onnx.checker.check_model(str(path), full_check=True)
    return model


def _must_suit(target: TargetSpec, model: ir.Model, path: Path) -> None:
    """Refuse a file that the runtime's own lint says is refused or computed otherwise."""
    mistakes = [found for found in target.lint(model) if found.severity in ("refused", "wrong")]
    if mistakes:
        first = mistakes[0]
        what = f"the file for {target.kind} breaks the rule {first.rule}: {first.node} {first.what}"
        raise LowerError(what, where=str(path), fix=first.fix)
