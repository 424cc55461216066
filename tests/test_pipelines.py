"""Every pipeline file in the repository loads, without its data."""

from pathlib import Path

import pytest
import yaml

from edgekd.data.manifest import read_manifest
from edgekd.spec import load_pipeline

PIPELINES = sorted((Path(__file__).parents[1] / "pipelines").glob("*.yaml"))


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
