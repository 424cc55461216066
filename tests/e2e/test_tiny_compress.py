"""A whole pipeline, small: what a run leaves, what a second one repeats, what an interruption costs."""

import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import onnx
import onnxruntime
import pytest
from safetensors.torch import load_file, save_file

from edgekd.cli.main import main
from edgekd.core.plan import Planner
from edgekd.core.store import StageRecord, Store
from edgekd.pipeline import build, survey
from edgekd.report.rows import model_rows
from edgekd.report.schema import Report
from edgekd.spec import load_pipeline

TINY = Path(__file__).parents[1] / "specs" / "tiny.yaml"
EDGEKD = Path(sys.executable).parent / "edgekd"


def _plan(store: Path, *overrides: str) -> list[StageRecord]:
    spec = load_pipeline(TINY, overrides)
    planner = Planner(Store(store, pipeline=spec.name))
    build(spec, survey(spec), planner)
    return planner.records


def test_report_is_complete_and_says_that_the_engine_is_integer_and_right(first_run) -> None:
    report = Report.load(first_run.folder / "report.json")
    assert report == first_run.report
    (target,) = report.targets
    assert (target.coverage.float_ops, target.fidelity.oracle_mismatches) == (0, 0)
    assert target.fidelity.oracle_nodes > 10
    assert target.fidelity.layer_tensors > 10
    assert target.fidelity.layer_off_by_more == 0
    assert target.fidelity.layer_off_by_one < 0.01
    assert target.agreement_top1 > 0.95
    assert sum(cost.time_share for cost in target.coverage.nodes) == pytest.approx(1)
    teacher, apart = target.against_teacher, target.metric.value - report.teacher.metric.value
    assert teacher.n == target.metric.n
    assert teacher.difference == pytest.approx(apart, abs=1.5 / teacher.n)  # float sums differ
    assert target.against_student_float.p_value <= 1
    assert {baseline.name for baseline in target.baselines} == {"teacher_float", "student_float", "ptq"}
    assert 0 < target.latency_ms.p50 <= target.latency_ms.p90 <= target.latency_ms.p99
    assert target.payload_bytes + target.graph_bytes == target.size_bytes
    assert target.payload_bytes == sum(layer.size_bytes for layer in target.layers)
    assert target.size_bytes < report.student.size_bytes_float / 2
    assert report.student.metric_float.value > 0.3  # a student that learned nothing proves nothing
    assert [record.phase for record in report.student.history] == ["train teacher", "train student", "distil"]
    assert [method.method for method in report.student.ptq.methods] == ["minmax", "mse"]
    assert report.spec_digest == first_run.spec.digest
    assert report.teacher.share == 1
    assert not any(stage.cached for stage in report.stages)


def test_a_pruned_student_starts_from_what_the_whole_one_learned(first_run, again, tmp_path: Path) -> None:
    (trained,) = first_run.store.glob("entries/export_teacher*/**/weights.safetensors")
    body = {name.removeprefix("body."): tensor for name, tensor in load_file(trained).items()}
    save_file(body, tmp_path / "whole.safetensors")
    report = again(
        "student.network={kind: pruned, network: {kind: resnet_cifar, depth: 14}, keep_macs: 0.5}",
        f"student.weights={{path: {tmp_path}/whole.safetensors, mean: [0.5], std: [0.25]}}",
        "distill={kind: none}",
    )
    (target,), teacher = report.targets, first_run.report.teacher
    assert report.student.name == "resnet14, 50 % of the MACs"
    assert 0.48 < report.student.macs / teacher.macs <= 0.5
    assert report.student.metric_float.value > teacher.metric.value
    assert (target.coverage.float_ops, target.fidelity.oracle_mismatches) == (0, 0)
    assert target.fidelity.layer_off_by_more == 0


def test_run_folder_holds_what_a_person_opens(first_run) -> None:
    names = {"model.onnxruntime.onnx", "infer.py", "report.html", "report.json", "history.jsonl"}
    assert {path.name for path in first_run.folder.iterdir()} == {*names, "spec.resolved.yaml"}
    assert load_pipeline(first_run.folder / "spec.resolved.yaml") == first_run.spec
    lines = (first_run.folder / "history.jsonl").read_text().splitlines()
    assert [json.loads(line)["phase"] for line in lines] == ["train teacher", "train student", "distil"]
    page = (first_run.folder / "report.html").read_text()
    assert page.startswith("<!doctype html>")
    assert "tiny" in page


def test_run_keeps_its_gates_against_itself_and_says_so_in_its_report(
    first_run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, handlers: None
) -> None:
    run, gates = shutil.copytree(first_run.folder, tmp_path / "run"), tmp_path / "gates.yaml"
    gates.write_text(
        "version: 1\n"
        "gates:\n"
        "  - {kind: size, max_growth: 0.0}\n"
        "  - {kind: accuracy, min: 0.3, max_drop: 0.0}\n"
        "  - {kind: agreement, min: 0.95}\n"
        "  - {kind: integer_coverage, max_float_ops: 0}\n"
        "  - {kind: fidelity, max_oracle_mismatches: 0, max_layer_off_by_more: 0}\n"
        "  - {kind: latency, min_speedup_over_student_float: 0.01, max_ratio: 10.0}\n"
    )
    words = ["gate", str(run), "--gates", str(gates), "--baseline", str(first_run.folder), "--record"]
    monkeypatch.setattr(sys, "argv", ["edgekd", *words])
    with pytest.raises(SystemExit) as stop:
        main()
    assert stop.value.code == 0
    recorded = Report.load(run / "report.json").gates
    assert [gate.state for gate in recorded] == ["passed"] * 9
    assert "all 9 gates passed" in (run / "report.html").read_text()


def test_engine_takes_raw_pixels_and_says_how_to_feed_it(first_run) -> None:
    path = first_run.folder / "model.onnxruntime.onnx"
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    (image,) = session.get_inputs()
    assert (image.type, image.shape[1:]) == ("tensor(uint8)", [8, 8, 1])
    metadata = {item.key: item.value for item in onnx.load(path).metadata_props}
    assert metadata["spec_digest"] == first_run.spec.digest
    assert json.loads(metadata["class_names"]) == [str(digit) for digit in range(10)]
    assert set(metadata) >= {"input", "color_order", "resize", "pipeline"}
    test = first_run.spec.data.split("test")
    (logits,) = session.run(None, {image.name: test.images})
    assert float((logits.argmax(1) == test.labels).mean()) == first_run.report.targets[0].metric.value


def test_second_run_executes_no_stage_and_says_the_same(first_run, again) -> None:
    report = again()
    assert [stage.name for stage in report.stages] == [stage.name for stage in first_run.report.stages]
    assert all(stage.cached and stage.why == "cached" for stage in report.stages)
    assert report.student == first_run.report.student
    (new,), (old,) = report.targets, first_run.report.targets
    assert (new.metric, new.agreement_top1, new.fidelity, new.saturation, new.ptq_metric) == (
        old.metric, old.agreement_top1, old.fidelity, old.saturation, old.ptq_metric,
    )  # fmt: skip
    assert (new.against_teacher, new.against_student_float) == (
        old.against_teacher, old.against_student_float,
    )  # fmt: skip
    measured = {"nodes": (), "border_time_share": None}
    assert new.coverage.model_copy(update=measured) == old.coverage.model_copy(update=measured)


def test_a_report_says_that_the_given_teacher_did_not_teach(again, tmp_path: Path) -> None:
    report = again("distill={kind: apprentice, scheme: A, schedule: {epochs: 1, learning_rate: 0.01}}")
    assert report.teacher.share == 0
    assert model_rows(report, report.targets[0])[0].label == "Given teacher"
    assert "not the given one" in (tmp_path / "runs" / "tiny" / "report.html").read_text()


def test_distill_none_reuses_the_float_student_and_is_ptq_alone(first_run, again) -> None:
    report = again("distill={kind: none}")
    cached = {stage.name: stage.cached for stage in report.stages}
    assert cached == {
        "given_student": True, "train_student": True, "quantize_student": True, "export_marked": True,
        "lower_for": False, "build_engine": False,
    }  # fmt: skip
    (target,) = report.targets
    assert report.teacher is None
    assert report.student.method == "none"
    assert report.student.metric_float == first_run.report.student.metric_float
    assert target.metric == first_run.report.targets[0].ptq_metric
    assert {baseline.name for baseline in target.baselines} == {"student_float"}
    assert (target.coverage.float_ops, target.fidelity.oracle_mismatches) == (0, 0)


def test_engine_is_built_once_before_the_student_is_distilled(first_run) -> None:
    ran = [stage.name for stage in first_run.report.stages]
    assert ran.index("build_engine") < ran.index("distill_student")
    assert ran.count("build_engine") == 2


def test_other_distillation_repeats_distillation_and_what_follows(first_run) -> None:
    records = _plan(first_run.store, "distill.schedule.epochs=2")
    why = {record.name: record.why for record in records if not record.cached}
    assert [record.name for record in records if record.cached] == [
        "export_teacher", "given_student", "train_student", "quantize_student", "export_marked",
    ]  # fmt: skip
    assert why["distill_student"] == "distill.schedule.epochs changed from 1 to 2"
    assert why["export_marked"] == "because distill_student will run"


@pytest.mark.parametrize(
    ("override", "first", "why"),
    [
        ("seed=1", "export_teacher", "seed changed from 0 to 1"),
        ("teacher.training.epochs=2", "export_teacher", "teacher.training.epochs changed from 1 to 2"),
        ("student.training.epochs=2", "given_student", "student.training.epochs changed from 1 to 2"),
        ("quantize.weights.bits=4", "quantize_student", "quantize.weights.bits changed from 8 to 4"),
        (
            "quantize.calibration.samples=32",
            "quantize_student",
            "quantize.calibration.samples changed from 64 to 32",
        ),
        ("targets.0.threads=2", "lower_for", "target.threads changed from 1 to 2"),
        ("data.image_size=16", "export_teacher", "data.image_size changed from 8 to 16"),
    ],
    ids=lambda value: value.partition("=")[0] if "=" in value else "",
)
def test_check_names_the_key_behind_the_first_stage_that_runs(
    first_run, override: str, first: str, why: str
) -> None:
    records = _plan(first_run.store, override)
    record = next(record for record in records if not record.cached)
    assert record.name == first
    assert record.why.startswith(why)


def test_check_on_the_command_line_finds_everything_cached(first_run) -> None:
    command = [EDGEKD, "check", TINY, "--store", first_run.store, "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert all(stage["cached"] for stage in json.loads(done.stdout)["stages"])


def test_compress_prints_the_report_as_json_alone(
    first_run,
    handlers: None,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    words = ["compress", TINY, "--store", first_run.store, "--runs", tmp_path, "--json"]
    monkeypatch.setattr(sys, "argv", ["edgekd", *map(str, words)])
    with pytest.raises(SystemExit) as stop:
        main()
    captured = capsys.readouterr()
    assert not stop.value.code
    report = Report.model_validate_json(captured.out)
    assert report == Report.load(tmp_path / "tiny" / "report.json")
    assert all(stage.cached for stage in report.stages)
    assert report.command == shlex.join(["edgekd", *map(str, words)])
    assert captured.err.startswith("export_teacher: cached\n")


def test_compress_prints_a_summary_in_any_encoding(first_run, tmp_path: Path) -> None:
    command = [EDGEKD, "compress", TINY, "--store", first_run.store, "--runs", tmp_path]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONIOENCODING": "ascii"}
    done = subprocess.run(command, capture_output=True, env=environment, check=False)
    assert done.returncode == 0
    out = done.stdout.decode("ascii")
    assert out.startswith("tiny on onnxruntime, local\n")
    assert "0 oracle mismatches" in out
    assert out.rstrip().endswith(f"Report: {tmp_path / 'tiny' / 'report.html'}")


@pytest.mark.parametrize(
    ("student", "code"), [(0, 3), (1, 0)], ids=["another student", "the trained student"]
)
def test_verify_exits_3_when_the_engine_is_not_what_was_trained(
    first_run,
    handlers: None,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    student: int,
    code: int,
) -> None:
    keys = [stage.key for stage in first_run.report.stages if stage.name == "export_marked"]
    for name in ("marked.onnx", "probes.npy"):
        shutil.copyfile(
            first_run.store / "entries" / "export_marked" / keys[student] / "files" / name, tmp_path / name
        )
    shutil.copyfile(first_run.folder / "model.onnxruntime.onnx", tmp_path / "model.onnx")
    monkeypatch.setattr(sys, "argv", ["edgekd", "verify", str(tmp_path), "--json"])
    with pytest.raises(SystemExit) as stop:
        main()
    fidelity = json.loads(capsys.readouterr().out)["fidelity"]
    assert (stop.value.code or 0) == code
    assert (fidelity["layer_off_by_more"] > 0) == (code == 3)
    assert fidelity["layer_tensors"] > 10


def test_store_show_lists_what_the_run_made(
    first_run, handlers: None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["edgekd", "store", "show", "--store", str(first_run.store)]
    for arguments in (words, [*words, "--json"]):
        monkeypatch.setattr(sys, "argv", arguments)
        with pytest.raises(SystemExit) as stop:
            main()
        assert not stop.value.code
    table, _, listed = capsys.readouterr().out.partition("\n[\n")
    entries = json.loads(f"[{listed}")
    assert sorted(entry["stage"] for entry in entries) == sorted(
        stage.name for stage in first_run.report.stages
    )
    assert all(entry["size_bytes"] > 0 and entry["pipelines"] == ["tiny"] for entry in entries)
    assert all(stage.name in table for stage in first_run.report.stages)


def test_store_knows_its_pipeline_and_collects_only_the_rest(first_run, again, store_copy: Path) -> None:
    entries = Store(store_copy).entries()
    assert {entry.pipelines for entry in entries} == {("tiny",)}
    assert Store(store_copy).collect_garbage(dry_run=True).count == 0
    again("distill={kind: none}")
    unused = {entry.stage for entry in Store(store_copy).entries() if not entry.pipelines}
    assert unused == {"export_teacher", "distill_student", "export_marked", "lower_for", "build_engine"}
    Store(store_copy).collect_garbage()
    assert not any(record.cached for record in _plan(store_copy) if record.name == "export_teacher")
    assert all(record.cached for record in _plan(store_copy, "distill={kind: none}"))


def test_damaged_entry_is_made_again(first_run, store_copy: Path) -> None:
    (file,) = store_copy.glob("entries/quantize_student/*/files/trials.json")
    file.chmod(0o644)
    file.write_text("[]")
    records = {record.name: record for record in _plan(store_copy)}
    assert not records["quantize_student"].cached
    assert "damaged" in records["quantize_student"].why
    assert records["train_student"].cached


def test_interrupted_run_exits_130_and_goes_on_after_its_last_epoch(store_copy: Path, tmp_path: Path) -> None:
    override = "distill.schedule.epochs=50"
    command = [
        EDGEKD,
        "compress",
        TINY,
        "--set",
        override,
        "--store",
        store_copy,
        "--runs",
        tmp_path / "runs",
    ]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    with subprocess.Popen(
        command, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
    ) as run:
        deadline = time.monotonic() + 120
        while not list(store_copy.glob("work/*/scratch/checkpoint.safetensors")):
            assert run.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.1)
        run.send_signal(signal.SIGINT)
        out, err = run.communicate(timeout=60)
    assert (run.returncode, out) == (130, "")
    assert "distill_student: distill.schedule.epochs changed from 1 to 50" in err
    assert "run the command again to go on" in err.replace(" \n", " ")
    assert "Traceback" not in err
    assert not (tmp_path / "runs").exists()
    records = {record.name: record for record in _plan(store_copy, override)}
    assert records["distill_student"].why == "resumes an interrupted run"
    assert all(record.cached for record in _plan(store_copy)[:5])  # what was finished before is still there
