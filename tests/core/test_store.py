import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from edgekd.core.artifact import Artifact, Stage, stage
from edgekd.core.spec_base import Spec, json_digest
from edgekd.core.store import Store, default_store_root
from edgekd.errors import StoreError

# A pipeline of one stage for other processes. It says on stdout what it does; inside the stage it waits for
# the file "go". With $KILL_AT_RENAME=n it is killed just before it renames something for the nth time.
PROGRAM = """
import os, signal, sys, time
from pathlib import Path
from edgekd.core.artifact import Artifact, stage
from edgekd.core.store import Store

root, log, go = Path(sys.argv[1]), Path(sys.argv[2]), Path(sys.argv[3])
renames_left = int(os.environ.get("KILL_AT_RENAME", "0"))

def count_renames(event, arguments):
    global renames_left
    if event == "os.rename":
        renames_left -= 1
        if renames_left == 0:
            os.kill(os.getpid(), signal.SIGKILL)

sys.addaudithook(count_renames)

@stage(Artifact, version=1)
def train(folder: Path, epochs: int) -> None:
    with log.open("a") as file:
        file.write("begin\\n")
    names = sorted(path.name for path in folder.iterdir())
    scratch = folder / "scratch"
    scratch.mkdir(exist_ok=True)
    done = [int(path.name) for path in scratch.iterdir()]
    (folder / "half.bin").write_bytes(b"half")
    for epoch in range(len(done), epochs):
        (scratch / str(epoch)).touch()
        if epoch == 2:
            print("training", flush=True)
            while not go.exists():
                time.sleep(0.01)
    (folder / "result.txt").write_text(f"found {names} and {len(done)} epochs")

store = Store(root, pipeline="toy", announce=lambda message: print(message, flush=True))
artifact = store.run(train, 5)
print("digest", artifact.digest, flush=True)
"""


class Distill(Spec):
    epochs: int = 5
    loss: str = "kl"


class Data(Spec):
    path: Path

    @property
    def digest(self) -> str:
        return json_digest([super().digest, self.path.read_text()])


@dataclass(frozen=True)
class Teacher(Artifact):
    def top1(self) -> float:
        return float(self.read_json("metrics.json")["top1"])


def _teacher_stage(runs: list[str], *, version: int = 1, top1: float = 0.9) -> Stage[..., Teacher]:
    @stage(Teacher, version=version)
    def export_teacher(folder: Path, teacher: object = None) -> None:
        runs.append("export_teacher")
        (folder / "onnx").mkdir()
        (folder / "onnx" / "model.onnx").write_bytes(b"model")
        (folder / "metrics.json").write_text(json.dumps({"top1": top1}))

    return export_teacher


def _student_stage(runs: list[str]) -> Stage[..., Artifact]:
    @stage(Artifact, version=1)
    def distill_student(folder: Path, teacher: Teacher, distill: Distill) -> None:
        runs.append("distill_student")
        (folder / "student.txt").write_text(f"{teacher.top1()} {distill.epochs}")

    return distill_student


Program = subprocess.Popen[str]
Start = Callable[[], Program]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Starts PROGRAM on the store ``tmp_path / "store"``."""
    programs: list[Program] = []
    paths = [str(tmp_path / name) for name in ("store", "log", "go")]

    def start_program() -> Program:
        program = subprocess.Popen([sys.executable, "-c", PROGRAM, *paths], stdout=subprocess.PIPE, text=True)
        programs.append(program)
        return program

    yield start_program
    for program in programs:
        program.kill()
        program.communicate()


def _read_until(program: Program, word: str) -> str:
    assert program.stdout is not None
    for line in program.stdout:
        if word in line:
            return line.strip()
    message = f"the program ended without saying {word!r}"
    raise AssertionError(message)


def _overwrite(path: Path, content: bytes) -> None:
    path.chmod(0o644)
    path.write_bytes(content)


# --- keys and caching ---


def test_run_executes_once_and_returns_the_same_artifact(tmp_path: Path) -> None:
    runs: list[str] = []
    first = Store(tmp_path).run(_teacher_stage(runs), Distill())
    store = Store(tmp_path)
    second = store.run(_teacher_stage(runs), Distill())
    assert runs == ["export_teacher"]
    assert second == first
    assert type(second) is Teacher
    assert second.top1() == 0.9
    assert second.folder == tmp_path / "entries" / "export_teacher" / second.key / "files"
    assert [(record.cached, record.why) for record in store.records] == [(True, "cached")]


def test_run_writes_the_record_of_the_entry(tmp_path: Path) -> None:
    artifact = Store(tmp_path).run(_teacher_stage([]), Distill(epochs=7))
    entry = json.loads((artifact.folder.parent / "entry.json").read_text())
    assert entry["stage"] == "export_teacher"
    assert entry["version"] == 1
    assert entry["key"] == artifact.key
    assert entry["digest"] == artifact.digest
    assert entry["inputs"] == {"teacher": {"epochs": 7, "loss": "kl"}}
    assert entry["files"]["onnx/model.onnx"]["size_bytes"] == 5
    assert sorted(entry["files"]) == ["metrics.json", "onnx/model.onnx"]
    assert entry["seconds"] > 0
    assert artifact.path("metrics.json").stat().st_mode & 0o222 == 0


def test_run_digest_depends_on_content_and_key_on_inputs(tmp_path: Path) -> None:
    store = Store(tmp_path)
    first = store.run(_teacher_stage([]), 1)
    same_content = store.run(_teacher_stage([]), 2)
    other_content = store.run(_teacher_stage([], top1=0.8), 3)
    assert len({first.key, same_content.key, other_content.key}) == 3
    assert first.digest == same_content.digest != other_content.digest


@pytest.mark.parametrize(
    "values",
    [
        (1, 1.0, True, "1"),
        (None, "", [], {}),
        ([1, 2], [2, 1]),
        ({"spec": "a"}, {"artifact": "a"}),
        ([[]], []),
    ],
    ids=str,
)
def test_run_tells_similar_json_values_apart(tmp_path: Path, values: tuple[Any, ...]) -> None:
    store = Store(tmp_path)
    assert len({store.run(_teacher_stage([]), value).key for value in values}) == len(values)


def test_run_treats_positions_names_and_defaults_alike(tmp_path: Path) -> None:
    runs: list[str] = []
    store = Store(tmp_path)
    keys = {
        store.run(_teacher_stage(runs)).key,
        store.run(_teacher_stage(runs), None).key,
        store.run(_teacher_stage(runs), teacher=None).key,
    }
    assert len(keys) == len(runs) == 1


def test_run_uses_the_digest_that_a_spec_overrides(tmp_path: Path) -> None:
    runs: list[str] = []
    data = Data(path=tmp_path / "data.csv")
    data.path.write_text("old")
    Store(tmp_path / "store", pipeline="p").run(_teacher_stage(runs), data)
    data.path.write_text("new")
    store = Store(tmp_path / "store", pipeline="p")
    store.run(_teacher_stage(runs), data)
    assert len(runs) == 2
    assert store.records[0].why == "files behind teacher changed"


def test_run_stops_early_when_a_rebuilt_input_has_the_same_content(tmp_path: Path) -> None:
    runs: list[str] = []
    for version in (1, 2):
        store = Store(tmp_path)
        teacher = store.run(_teacher_stage(runs, version=version), Distill())
        store.run(_student_stage(runs), teacher, Distill())
    assert runs == ["export_teacher", "distill_student", "export_teacher"]


def test_run_refuses_an_input_that_is_neither_spec_nor_artifact_nor_json(tmp_path: Path) -> None:
    with pytest.raises(TypeError, match="input teacher is a PosixPath"):
        Store(tmp_path).run(_teacher_stage([]), Path("model.onnx"))


# --- why ---


def test_why_names_what_changed(tmp_path: Path) -> None:
    def why(distill: Distill, *, version: int = 1, top1: float = 0.9) -> list[str]:
        store = Store(tmp_path, pipeline="toy")
        teacher = store.run(_teacher_stage([], version=version, top1=top1))
        store.run(_student_stage([]), teacher, distill)
        return [record.why for record in store.records]

    first = "first run of this stage for pipeline toy"
    assert why(Distill()) == [first, first]
    assert why(Distill()) == ["cached", "cached"]
    assert why(Distill(epochs=8)) == ["cached", "distill.epochs changed from 5 to 8"]
    assert why(Distill(epochs=9, loss="mse")) == [
        "cached",
        'distill.epochs changed from 8 to 9; distill.loss changed from "kl" to "mse"',
    ]
    changed = why(Distill(epochs=9, loss="mse"), version=2, top1=0.8)
    assert changed == ["stage version 1 -> 2", "input teacher changed"]


@pytest.mark.parametrize(
    ("old", "new", "why"),
    [
        ({"a": 1}, {"a": 1, "b": 2}, "teacher.b is new"),
        ({"a": 1, "b": 2}, {"a": 1}, "teacher.b was removed"),
        ([{"kind": "ort"}], [{"kind": "openvino"}], 'teacher[0].kind changed from "ort" to "openvino"'),
        ([1], [1, 2], "teacher changed from [1] to [1, 2]"),
        (1, True, "teacher changed from 1 to true"),
        (None, "x" * 100, 'teacher changed from null to "' + "x" * 56 + "..."),
    ],
)
def test_why_points_into_nested_values(tmp_path: Path, old: Any, new: Any, why: str) -> None:
    Store(tmp_path, pipeline="toy").run(_teacher_stage([]), old)
    store = Store(tmp_path, pipeline="toy")
    store.run(_teacher_stage([]), new)
    assert store.records[0].why == why


def test_why_compares_each_call_of_a_stage_with_its_own_last_call(tmp_path: Path) -> None:
    for targets in (["ort", "trt"], ["ort", "openvino", "arm"]):
        store = Store(tmp_path, pipeline="toy")
        for target in targets:
            store.run(_teacher_stage([]), target)
    assert [record.why for record in store.records] == [
        "cached",
        'teacher changed from "trt" to "openvino"',
        "first run of this stage for pipeline toy",
    ]


def test_why_compares_with_the_own_pipeline(tmp_path: Path) -> None:
    Store(tmp_path, pipeline="a").run(_teacher_stage([]), 1)
    store = Store(tmp_path, pipeline="b")
    store.run(_teacher_stage([]), 2)
    assert store.records[0].why == "first run of this stage for pipeline b"


# --- interruption and other processes ---


def test_run_resumes_from_scratch_when_the_process_was_killed(tmp_path: Path, start: Start) -> None:
    root = tmp_path / "store"
    killed = start()
    _read_until(killed, "training")
    killed.send_signal(signal.SIGKILL)
    assert killed.wait() == -signal.SIGKILL
    assert not (root / "entries").exists()

    (tmp_path / "go").touch()
    resumed = start()
    assert _read_until(resumed, "train:") == "train: resumes an interrupted run"
    _read_until(resumed, "digest")
    assert resumed.wait() == 0
    (result,) = root.glob("entries/train/*/files/result.txt")
    assert result.read_text() == "found ['scratch'] and 3 epochs"
    assert sorted(path.name for path in result.parent.iterdir()) == ["half.bin", "result.txt"]
    assert list((root / "work").iterdir()) == []


@pytest.mark.parametrize(
    ("rename", "committed"),
    [(1, False), (2, False), (3, False), (4, False), (5, True)],
    ids=["first output", "second output", "entry.json", "the commit", "the history"],
)
def test_run_commits_all_or_nothing_when_the_process_was_killed(
    tmp_path: Path, start: Start, monkeypatch: pytest.MonkeyPatch, rename: int, committed: bool
) -> None:
    (tmp_path / "go").touch()
    monkeypatch.setenv("KILL_AT_RENAME", str(rename))
    assert start().wait() == -signal.SIGKILL
    assert len(list(tmp_path.glob("store/entries/train/*"))) == committed
    monkeypatch.delenv("KILL_AT_RENAME")
    again = start()
    why = "cached" if committed else "resumes an interrupted run"
    assert _read_until(again, "train:") == f"train: {why}"
    _read_until(again, "digest")
    (result,) = tmp_path.glob("store/entries/train/*/files/result.txt")
    assert result.read_text() == ("found [] and 0 epochs" if committed else "found ['scratch'] and 5 epochs")


def test_run_works_once_when_two_processes_ask_at_the_same_time(tmp_path: Path, start: Start) -> None:
    first = start()
    _read_until(first, "training")
    second = start()
    assert f"process {first.pid} on" in _read_until(second, "waiting for pipeline toy")
    (tmp_path / "go").touch()
    digests = {_read_until(program, "digest") for program in (first, second)}
    assert first.wait() == second.wait() == 0
    assert len(digests) == 1
    assert (tmp_path / "log").read_text() == "begin\n"


@pytest.mark.parametrize("error", [ValueError("diverged"), KeyboardInterrupt(), FileNotFoundError("no data")])
def test_run_keeps_the_work_and_passes_the_error_on(tmp_path: Path, error: BaseException) -> None:
    failures = [error]
    seen: list[list[str]] = []

    @stage(Artifact, version=1)
    def train(folder: Path) -> None:
        seen.append(sorted(path.name for path in folder.iterdir()))
        (folder / "scratch").mkdir(exist_ok=True)
        (folder / "scratch" / "epoch1").touch()
        (folder / "half.bin").write_bytes(b"half")
        if failures:
            raise failures.pop()

    with pytest.raises(type(error)):
        Store(tmp_path).run(train)
    assert not (tmp_path / "entries").exists()
    store = Store(tmp_path)
    store.run(train)
    assert seen == [[], ["scratch"]]
    assert store.records[0].why == "resumes an interrupted run"


def test_run_says_why_when_an_interrupted_run_left_no_checkpoint(tmp_path: Path) -> None:
    failures = [ValueError("diverged")]

    @stage(Artifact, version=1)
    def train(folder: Path) -> None:
        if failures:
            raise failures.pop()

    with pytest.raises(ValueError, match="diverged"):
        Store(tmp_path).run(train)
    store = Store(tmp_path)
    store.run(train)
    assert store.records[0].why == "first run of this stage"


def test_run_keeps_the_checkpoints_when_the_commit_was_interrupted(tmp_path: Path) -> None:
    finished: list[int] = []

    @stage(Artifact, version=1)
    def train(folder: Path) -> None:
        (folder / "scratch").mkdir(exist_ok=True)
        checkpoints = len(list((folder / "scratch").iterdir()))
        (folder / "scratch" / f"epoch{checkpoints}").touch()
        (folder / "weights.bin").write_bytes(b"weights")
        if not finished:
            (tmp_path / "entries").write_text("in the way of the commit")
        finished.append(checkpoints)

    with pytest.raises(StoreError):
        Store(tmp_path).run(train)
    (tmp_path / "entries").unlink()
    artifact = Store(tmp_path).run(train)
    assert finished == [0, 1]
    assert [path.name for path in artifact.folder.iterdir()] == ["weights.bin"]


# --- damage ---


def _flip(files: Path) -> None:
    _overwrite(files / "onnx" / "model.onnx", b"m0del")


def _truncate(files: Path) -> None:
    _overwrite(files / "onnx" / "model.onnx", b"mod")


def _delete(files: Path) -> None:
    (files / "metrics.json").unlink()


def _delete_all(files: Path) -> None:
    files.rename(files.with_name("elsewhere"))


def _add(files: Path) -> None:
    (files / "extra.bin").write_bytes(b"")


def _link(files: Path) -> None:
    (files / "metrics.json").rename(files.parent / "metrics.json")
    (files / "metrics.json").symlink_to("../metrics.json")


def _break_record(files: Path) -> None:
    _overwrite(files.parent / "entry.json", b'{"stage": "export_teacher"')


def _forge_record(files: Path) -> None:
    entry = json.loads((files.parent / "entry.json").read_text())
    _overwrite(files.parent / "entry.json", json.dumps({**entry, "digest": "0" * 64}).encode())


def _delete_record(files: Path) -> None:
    (files.parent / "entry.json").unlink()


@pytest.mark.parametrize(
    ("damage", "why"),
    [
        (_flip, "onnx/model.onnx has another sha256"),
        (_truncate, "onnx/model.onnx has another size"),
        (_delete, "metrics.json is missing"),
        (_delete_all, "files: No such file or directory"),
        (_add, "extra.bin was added"),
        (_link, "metrics.json is a symbolic link"),
        (_break_record, "entry.json is not the record of an entry"),
        (_forge_record, "entry.json does not agree with itself"),
        (_delete_record, "entry.json: No such file or directory"),
    ],
)
def test_run_rebuilds_a_damaged_entry(tmp_path: Path, damage: Any, why: str) -> None:
    runs: list[str] = []
    messages: list[str] = []
    artifact = Store(tmp_path).run(_teacher_stage(runs))
    damage(artifact.folder)
    store = Store(tmp_path, announce=messages.append)
    assert store.run(_teacher_stage(runs)) == artifact
    assert len(runs) == 2
    assert artifact.top1() == 0.9
    assert store.records[0].why == f"entry was damaged: {why}"
    (aside,) = (tmp_path / "corrupt").iterdir()
    assert aside.name.endswith(f"-{artifact.key}")
    assert any(str(aside) in message for message in messages)


def test_run_sees_damage_in_the_process_that_made_the_entry(tmp_path: Path) -> None:
    store = Store(tmp_path)
    artifact = store.run(_teacher_stage([]))
    store.run(_teacher_stage([]))
    _flip(artifact.folder)
    store.run(_teacher_stage([]))
    assert [record.cached for record in store.records] == [False, True, False]


def test_run_refuses_the_entry_of_another_key(tmp_path: Path) -> None:
    first = Store(tmp_path).run(_teacher_stage([]), 1)
    second = Store(tmp_path).run(_teacher_stage([]), 2)
    second.folder.parent.rename(tmp_path / "away")
    first.folder.parent.rename(second.folder.parent)
    store = Store(tmp_path)
    store.run(_teacher_stage([]), 2)
    assert store.records[0].why == "entry was damaged: entry.json is the record of another entry"


@pytest.mark.parametrize("target", [".", "result.txt", "/etc/hostname", "dangling"])
def test_run_refuses_a_symbolic_link(tmp_path: Path, target: str) -> None:
    @stage(Artifact, version=1)
    def train(folder: Path) -> None:
        (folder / "result.txt").write_text("done")
        (folder / "sub").mkdir()
        (folder / "sub" / "best").symlink_to(target)

    with pytest.raises(StoreError, match="best is a symbolic link"):
        Store(tmp_path).run(train)
    assert not (tmp_path / "entries").exists()


def test_run_allows_links_among_the_checkpoints(tmp_path: Path) -> None:
    @stage(Artifact, version=1)
    def train(folder: Path) -> None:
        (folder / "scratch").mkdir()
        (folder / "scratch" / "last").symlink_to(tmp_path / "precious")
        (folder / "result.txt").write_text("done")

    (tmp_path / "precious").write_text("kept")
    artifact = Store(tmp_path / "store").run(train)
    assert [path.name for path in artifact.folder.iterdir()] == ["result.txt"]
    assert (tmp_path / "precious").read_text() == "kept"


# --- a store that cannot be used ---


def test_run_says_what_where_and_fix_when_the_store_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(StoreError) as caught:
        Store(tmp_path / "file" / "store").run(_teacher_stage([]))
    assert "Not a directory" in caught.value.what
    assert caught.value.where.startswith(str(tmp_path / "file"))
    assert "EDGEKD_STORE" in caught.value.fix
    assert isinstance(caught.value.__cause__, OSError)


def test_run_says_free_space_when_the_disk_is_full_in_a_stage(tmp_path: Path) -> None:
    @stage(Artifact, version=1)
    def train(folder: Path) -> None:
        Path("/dev/full").write_bytes(b"checkpoint")

    with pytest.raises(StoreError, match="No space left") as caught:
        Store(tmp_path).run(train)
    assert "free some space" in caught.value.fix


def test_run_says_which_file_to_remove_when_the_history_is_damaged(tmp_path: Path) -> None:
    Store(tmp_path, pipeline="toy").run(_teacher_stage([]))
    (tmp_path / "pipelines" / "toy.json").write_text("{")
    with pytest.raises(StoreError, match="history of pipeline toy"):
        Store(tmp_path, pipeline="toy").run(_teacher_stage([]))
    with pytest.raises(StoreError, match="history of pipeline toy"):
        Store(tmp_path).collect_garbage()


@pytest.mark.parametrize("name", ["../escape", "a/b", "a b", "a\n", "ünicode"])
def test_store_refuses_a_pipeline_name_that_is_a_path(tmp_path: Path, name: str) -> None:
    with pytest.raises(StoreError, match="cannot be the name of a pipeline"):
        Store(tmp_path, pipeline=name)


@pytest.mark.parametrize(
    "name", ["missing.bin", "onnx", "../entry.json", "onnx/../../entry.json", "/etc/hostname"]
)
def test_path_refuses_what_is_not_a_file_of_the_artifact(tmp_path: Path, name: str) -> None:
    artifact = Store(tmp_path).run(_teacher_stage([]))
    assert artifact.path("onnx/model.onnx").read_bytes() == b"model"
    with pytest.raises(StoreError, match="Teacher has no file"):
        artifact.path(name)


def test_read_json_refuses_what_is_not_json(tmp_path: Path) -> None:
    artifact = Store(tmp_path).run(_teacher_stage([]))
    with pytest.raises(StoreError, match="is not JSON"):
        artifact.read_json("onnx/model.onnx")


# --- what is kept ---


def test_collect_garbage_keeps_what_a_last_run_used(tmp_path: Path) -> None:
    for pipeline, values in [("a", [1, 2]), ("b", [2, 3]), ("a", [4, 2]), ("", [5])]:
        store = Store(tmp_path, pipeline=pipeline)
        for value in values:
            store.run(_teacher_stage([]), value)
    kept = {Store(tmp_path).run(_teacher_stage([]), value).key: value for value in (2, 3, 4)}
    report = Store(tmp_path).collect_garbage()
    assert report.count == 2
    entries = Store(tmp_path).entries()
    assert {kept[entry.key]: entry.pipelines for entry in entries} == {2: ("a", "b"), 3: ("b",), 4: ("a",)}


def test_finish_forgets_the_calls_that_a_pipeline_no_longer_makes(tmp_path: Path) -> None:
    for targets in (["ort", "trt"], ["ort"]):
        store = Store(tmp_path, pipeline="toy")
        for target in targets:
            last = store.run(_teacher_stage([]), target)
        assert store.collect_garbage().count == 0
        store.finish()
    assert Store(tmp_path).collect_garbage().count == 1
    assert [entry.key for entry in Store(tmp_path).entries()] == [last.key]


def test_collect_garbage_counts_what_it_removes(tmp_path: Path) -> None:
    @stage(Artifact, version=1)
    def fails(folder: Path) -> None:
        (folder / "half.bin").write_bytes(bytes(1000))
        message = "stopped"
        raise ValueError(message)

    store = Store(tmp_path)
    _flip(store.run(_teacher_stage([])).folder)
    store.run(_teacher_stage([]))
    with pytest.raises(ValueError, match="stopped"):
        store.run(fails)
    size_bytes = store.size_bytes()
    plan = store.collect_garbage(dry_run=True)
    assert store.size_bytes() == size_bytes
    assert plan.count == 3  # the entry, its damaged predecessor and the interrupted run
    assert store.collect_garbage() == plan
    assert plan.size_bytes == size_bytes > 1000
    assert store.size_bytes() == 0
    assert store.entries() == []


def test_collect_garbage_leaves_a_running_stage_alone(tmp_path: Path, start: Start) -> None:
    program = start()
    _read_until(program, "training")
    assert Store(tmp_path / "store").collect_garbage().count == 0
    (tmp_path / "go").touch()
    _read_until(program, "digest")
    assert program.wait() == 0


def test_collect_garbage_spares_an_unfinished_run_while_another_of_its_name_works(tmp_path: Path) -> None:
    """The second run takes the first one's place in the history; the first still reads its artifact."""
    first, second = Store(tmp_path, pipeline="toy"), Store(tmp_path, pipeline="toy")
    artifact = first.run(_teacher_stage([]), 1)
    second.run(_teacher_stage([]), 2)
    assert Store(tmp_path).collect_garbage().count == 0
    second.finish()
    assert Store(tmp_path).collect_garbage().count == 0
    assert artifact.path("onnx/model.onnx").read_bytes() == b"model"
    first.finish()
    assert Store(tmp_path).collect_garbage().count == 1
    assert [path.name for path in tmp_path.glob("live/*")] == []


def test_collect_garbage_forgets_a_run_that_was_killed(tmp_path: Path, start: Start) -> None:
    program = start()
    _read_until(program, "training")
    live = tmp_path / "store" / "live"
    assert len(list(live.glob("*.keys"))) == 1
    program.kill()
    program.wait()
    assert Store(tmp_path / "store").collect_garbage().count == 1
    assert list(live.iterdir()) == []


def test_entries_tell_stage_size_and_time(tmp_path: Path) -> None:
    store = Store(tmp_path, pipeline="toy")
    artifact = store.run(_teacher_stage([]))
    (entry,) = store.entries()
    on_disk = sum(path.stat().st_size for path in artifact.folder.parent.rglob("*") if path.is_file())
    assert (entry.stage, entry.key, entry.pipelines) == ("export_teacher", artifact.key, ("toy",))
    assert entry.size_bytes == on_disk
    assert entry.created.startswith(time.strftime("%Y-", time.gmtime()))


def test_entries_are_empty_when_there_is_no_store(tmp_path: Path) -> None:
    store = Store(tmp_path / "nowhere")
    assert store.entries() == []
    assert store.size_bytes() == 0
    assert store.collect_garbage().count == 0
    assert not (tmp_path / "nowhere").exists()


def test_default_store_root_follows_the_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("EDGEKD_STORE", raising=False)
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    assert default_store_root() == tmp_path / ".cache" / "edgekd"
    monkeypatch.setenv("XDG_CACHE_HOME", "/var/cache")
    assert default_store_root() == Path("/var/cache/edgekd")
    monkeypatch.setenv("EDGEKD_STORE", os.fspath(Path("~") / "store"))
    assert default_store_root() == tmp_path / "store"
