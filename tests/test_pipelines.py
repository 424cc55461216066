"""Every pipeline file in the repository loads, without its data, and TensorRT takes its student."""

from pathlib import Path

import onnx_ir as ir
import pytest
import torch
import yaml

from edgekd.data.manifest import read_manifest
from edgekd.export.export_marked import write_marked
from edgekd.lower.marked import MARKED
from edgekd.lower.qdq import LAYERS
from edgekd.quant.calibrate import calibrate
from edgekd.quant.prepare import prepare
from edgekd.runtimes.stages import write_lowered
from edgekd.runtimes.tensorrt_coverage import engine_coverage, layers_of_log
from edgekd.runtimes.tensorrt_target import TensorRtRtxTarget
from edgekd.spec import Pipeline, load_pipeline
from edgekd.zoo.network import NetworkSpec
from edgekd.zoo.pixels import ImageNetwork, PixelGrid

CIFAR10_GRID = PixelGrid.like((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
PIPELINES = sorted((Path(__file__).parents[1] / "pipelines").glob("*.yaml"))


def _students() -> dict[str, Path]:
    """Return a pipeline of each student: a network and its quantizers."""
    specs = {path: load_pipeline(path) for path in PIPELINES}
    return {f"{_network(spec)!r} {spec.quantize.scheme!r}": path for path, spec in specs.items()}


def _network(spec: Pipeline) -> NetworkSpec:
    """Return the given network, or the largest one that a search may choose."""
    if spec.student.kind == "search":
        return spec.student.space.network_of(spec.student.space.largest(), multiple=32)
    return spec.student.network


@pytest.fixture(autouse=True)
def no_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDGEKD_DATA", str(tmp_path / "nothing"))


def test_there_are_pipelines() -> None:
    assert {path.stem for path in PIPELINES} >= {"mobilenet_int8", "cifar10_resnet20_int8"}


@pytest.mark.parametrize("path", PIPELINES, ids=lambda path: path.stem)
def test_pipeline_loads_and_is_named_after_its_file(path: Path) -> None:
    assert path.read_text().startswith("# ")
    assert load_pipeline(path).name == path.stem


@pytest.mark.parametrize("path", PIPELINES, ids=lambda path: path.stem)
def test_pipeline_calibrates_on_a_committed_manifest_of_its_data(path: Path) -> None:
    spec = load_pipeline(path)
    assert spec.quantize.calibration.manifest is not None
    manifest = read_manifest(Path(spec.quantize.calibration.manifest))
    assert manifest.data_kind == spec.data.kind


@pytest.mark.parametrize("path", PIPELINES, ids=lambda path: path.stem)
def test_resolved_pipeline_is_the_same_pipeline(path: Path, tmp_path: Path) -> None:
    spec = load_pipeline(path)
    resolved = tmp_path / "spec.resolved.yaml"
    resolved.write_text(yaml.safe_dump(spec.model_dump(mode="json"), sort_keys=False))
    assert load_pipeline(resolved) == spec


@pytest.mark.parametrize("path", _students().values(), ids=lambda path: path.stem)
def test_tensorrt_rtx_builds_the_student_of_every_pipeline(path: Path, tmp_path: Path) -> None:
    """As each would be trained for TensorRT: its network and quantizers, with random weights."""
    spec = load_pipeline(path)
    torch.manual_seed(0)
    channels, size, grid = (1, 32, PixelGrid.like()) if spec.data.kind == "digits" else (3, 32, CIFAR10_GRID)
    body = _network(spec).build(channels=channels, classes=10, size=(size, size))
    images = torch.randint(0, 256, (4, size, size, channels), dtype=torch.uint8)
    student = prepare(ImageNetwork(grid, body), images, "portable", scheme=spec.quantize.scheme)
    calibrate(student, [images], "minmax")
    write_marked(tmp_path, student, images)
    target, lowered = TensorRtRtxTarget(), tmp_path / "lowered.onnx"
    write_lowered(tmp_path / MARKED, lowered, target=target, metadata={})
    log = target.build(lowered, tmp_path / "engine.plan")
    found = engine_coverage(layers_of_log(log), ir.load(lowered), {})
    assert found.integer_ops == len([node for node in ir.load(lowered).graph if node.op_type in LAYERS])
