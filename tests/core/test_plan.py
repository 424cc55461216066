from pathlib import Path

import pytest

from edgekd.core.artifact import Artifact, stage
from edgekd.core.plan import Planner
from edgekd.core.store import Runner, Store
from edgekd.errors import StoreError


@stage(Artifact, version=1)
def export_teacher(folder: Path, teacher: str) -> None:
    (folder / "teacher.txt").write_text(teacher)


@stage(Artifact, version=1)
def distill_student(folder: Path, teacher: Artifact, epochs: int) -> None:
    (folder / "student.txt").write_text(f"{teacher.path('teacher.txt').read_text()} {epochs}")


@stage(Artifact, version=1)
def build_engine(folder: Path, models: tuple[Artifact, ...]) -> None:
    (folder / "engine.txt").write_text(" ".join(model.digest for model in models))


def compress(runner: Runner, *, teacher: str = "resnet", epochs: int = 5) -> Artifact:
    exported = runner.run(export_teacher, teacher)
    student = runner.run(distill_student, exported, epochs=epochs)
    return runner.run(build_engine, (exported, student))


def _plan(root: Path, *, teacher: str = "resnet", epochs: int = 5) -> list[tuple[bool, str]]:
    planner = Planner(Store(root, pipeline="toy"))
    compress(planner, teacher=teacher, epochs=epochs)
    return [(record.cached, record.why) for record in planner.records]


def test_run_plans_everything_and_writes_nothing_when_there_is_no_store(tmp_path: Path) -> None:
    assert _plan(tmp_path / "store") == [
        (False, "first run of this stage for pipeline toy"),
        (False, "because export_teacher will run"),
        (False, "because export_teacher and distill_student will run"),
    ]
    assert list(tmp_path.iterdir()) == []


def test_run_finds_what_the_store_has(tmp_path: Path) -> None:
    store = Store(tmp_path, pipeline="toy")
    built = compress(store)
    planner = Planner(Store(tmp_path, pipeline="toy"))
    assert compress(planner) == built
    assert [record.key for record in planner.records] == [record.key for record in store.records]
    assert [record.why for record in planner.records] == ["cached", "cached", "cached"]


def test_run_says_what_changed_and_what_follows_from_it(tmp_path: Path) -> None:
    compress(Store(tmp_path, pipeline="toy"))
    assert _plan(tmp_path, epochs=8) == [
        (True, "cached"),
        (False, "epochs changed from 5 to 8"),
        (False, "because distill_student will run"),
    ]


def test_run_agrees_with_what_the_store_then_does(tmp_path: Path) -> None:
    compress(Store(tmp_path, pipeline="toy"))
    planned = _plan(tmp_path, teacher="vit")
    store = Store(tmp_path, pipeline="toy")
    compress(store, teacher="vit")
    assert [cached for cached, _ in planned] == [record.cached for record in store.records] == [False] * 3
    assert planned[0][1] == store.records[0].why == 'teacher changed from "resnet" to "vit"'


def test_run_leaves_a_damaged_entry_where_it_is(tmp_path: Path) -> None:
    artifact = compress(Store(tmp_path, pipeline="toy"))
    (artifact.folder / "engine.txt").unlink()
    assert _plan(tmp_path)[2] == (False, "entry was damaged: engine.txt is missing")
    assert artifact.folder.exists()
    assert not (tmp_path / "corrupt").exists()


def test_run_yields_a_pending_artifact_that_the_store_refuses(tmp_path: Path) -> None:
    pending = Planner(Store(tmp_path)).run(export_teacher, "resnet")
    assert (pending.key, pending.digest, pending.stage) == ("", "", "export_teacher")
    with pytest.raises(StoreError, match="which is only planned"):
        Store(tmp_path).run(distill_student, pending, 5)
