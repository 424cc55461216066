"""A stage whose result moves has to move its version, or the store would hand out results of older code.

``tests/stage_versions/stages.json`` holds what each stage gave at its version. Where the result is a function
of the inputs alone that is the content's digest. Training gives other bits on other machines, so there it is
the names, shapes and kinds of what is written. After a version was raised, ``EDGEKD_GOLDEN=write pytest
tests/e2e/test_stage_versions.py`` writes the new values.
"""

import collections
import json
import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from safetensors import safe_open

from edgekd.core.artifact import Stage
from edgekd.core.atomic import file_sha256
from edgekd.core.entry import FileRecord, content_digest, plain_files
from edgekd.core.plan import Planner
from edgekd.core.spec_base import json_digest
from edgekd.core.store import Store
from edgekd.device.build_engine import build_engine
from edgekd.distill.distill_student import distill_student
from edgekd.distill.quantize_student import quantize_student
from edgekd.distill.train_assistant import train_assistant
from edgekd.export.export_marked import export_marked
from edgekd.lower.marked import MARKED, MarkedOnnx
from edgekd.runtimes.stages import lower_for
from edgekd.search.given_student import given_student
from edgekd.search.train_student import train_student
from edgekd.spec import Pipeline, load_pipeline
from edgekd.teacher.export_teacher import export_teacher
from edgekd.teacher_section import Assistant
from edgekd.teachers import teach
from edgekd.unions import OnnxRuntime

HERE = Path(__file__).parents[1]
GOLDEN = HERE / "stage_versions" / "stages.json"
TRAINED = (export_teacher, train_student, quantize_student, distill_student, export_marked, build_engine)


def check_version(stage: Stage[..., Any], result: Any) -> None:
    golden = json.loads(GOLDEN.read_text())
    found = {"version": stage.version, "result": result}
    if os.environ.get("EDGEKD_GOLDEN") == "write":
        GOLDEN.write_text(json.dumps({**golden, stage.name: found}, indent=1, sort_keys=True) + "\n")
        return
    if found["version"] == golden[stage.name]["version"]:
        assert result == golden[stage.name]["result"], f"raise the version of the stage {stage.name}"
    assert found == golden[stage.name], f"write down what version {stage.version} of {stage.name} gives"


def _digest(folder: Path) -> str:
    return content_digest(
        {
            name: FileRecord(sha256=file_sha256(path), size_bytes=0)
            for name, path in plain_files(folder).items()
        }
    )


def outline(path: Path) -> Any:
    """Return what a file holds, without its numbers."""
    match path.suffix:
        case ".safetensors":
            with safe_open(path, framework="numpy") as file:
                tensors = {name: file.get_slice(name) for name in file.keys()}  # noqa: SIM118
                shapes = {
                    name: [part.get_dtype(), *part.get_shape()] for name, part in sorted(tensors.items())
                }
            return {"tensors": len(shapes), "digest": json_digest(shapes)}
        case ".onnx":
            return dict(
                sorted(collections.Counter(node.op_type for node in onnx.load(path).graph.node).items())
            )
        case ".npy":
            array = np.load(path)
            return [str(array.dtype), *array.shape]
        case _:
            value = json.loads(path.read_text())
            return sorted(value[0] if isinstance(value, list) else value)


@pytest.fixture
def spec() -> Pipeline:
    return load_pipeline(HERE / "specs" / "tiny.yaml")


def test_given_student_gives_what_its_version_gave(spec: Pipeline, tmp_path: Path) -> None:
    given_student.function(tmp_path, spec.student)
    check_version(given_student, _digest(tmp_path))


def test_lower_for_gives_what_its_version_gave(tmp_path: Path) -> None:
    shutil.copyfile(HERE / "stage_versions" / MARKED, tmp_path / MARKED)
    (tmp_path / "out").mkdir()
    marked = MarkedOnnx(folder=tmp_path, key="k", digest="d")
    lower_for.function(tmp_path / "out", OnnxRuntime(), marked, {"pipeline": "golden"}, "1.32.0")
    check_version(lower_for, _digest(tmp_path / "out"))


@pytest.mark.parametrize("stage", TRAINED, ids=lambda stage: stage.name)
def test_stage_writes_what_its_version_wrote(first_run: Any, stage: Stage[..., Any]) -> None:
    key = next(record.key for record in first_run.report.stages if record.name == stage.name)
    files = plain_files(first_run.store / "entries" / stage.name / key / "files")
    check_version(stage, {name: outline(path) for name, path in files.items()})


def test_train_assistant_writes_what_its_version_wrote(
    first_run: Any, spec: Pipeline, tmp_path: Path
) -> None:
    taught_by = teach(spec, Planner(Store(first_run.store, pipeline=spec.name)))
    assistant = Assistant(network=spec.student.network, training=spec.student.training)
    surroundings = spec.data, spec.task, spec.training, spec.seed
    train_assistant.function(tmp_path, assistant, taught_by.heard, taught_by.heard_spec, *surroundings)
    shutil.rmtree(tmp_path / "scratch")
    files = plain_files(tmp_path)
    check_version(train_assistant, {name: outline(path) for name, path in files.items()})


def test_every_stage_of_a_run_is_covered(first_run: Any) -> None:
    searching = {"search_student", "time_part", "train_candidate"}  # see test_search.py
    elsewhere = {*searching, train_assistant.name}
    covered = json.loads(GOLDEN.read_text()).keys()
    assert {record.name for record in first_run.report.stages} | elsewhere == covered
