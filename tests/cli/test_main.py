"""The verbs, run within this process; what needs a process of its own is in ``test_entry_point.py``."""

import json
import signal
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import yaml
from typer import Typer
from typer.main import get_command

import edgekd.cli.main
from edgekd.cli.verbs import app
from edgekd.errors import BuildError, ExportError, SpecError
from edgekd.runtimes.here import runtime_here

SPECS = Path(__file__).parents[1] / "specs"
TINY = (SPECS / "tiny.yaml").read_text()
BAD = yaml.safe_load((SPECS / "bad.yaml").read_text())
BUILDING = ["export_marked", "lower_for", "build_engine"]
PLAN = [
    "export_teacher", "given_student", "train_student", "quantize_student", *BUILDING,
    "distill_student", *BUILDING,
]  # fmt: skip


def _verbs() -> list[tuple[str, ...]]:
    commands: dict[str, Any] = get_command(app).commands  # type: ignore[attr-defined]
    nested = [(verb, name) for verb, command in commands.items() for name in getattr(command, "commands", {})]
    return [(verb,) for verb, command in commands.items() if not hasattr(command, "commands")] + nested


@pytest.fixture
def tiny(tmp_path: Path) -> Path:
    path = tmp_path / "tiny.yaml"
    path.write_text(TINY)
    return path


@pytest.mark.parametrize("verb", _verbs(), ids=" ".join)
def test_help_has_an_example_of_the_verb(cli, verb: tuple[str, ...]) -> None:
    done = cli(*verb, "--help")
    assert done.code == 0
    assert f"Example: edgekd {' '.join(verb)}" in " ".join(done.out.split())


@pytest.mark.parametrize("verb", _verbs(), ids=" ".join)
def test_every_verb_prints_json(verb: tuple[str, ...]) -> None:
    command: Any = get_command(app)
    for word in verb:
        command = command.commands[word]
    assert "--json" in {name for parameter in command.params for name in parameter.opts}


def test_version_is_printed(cli) -> None:
    assert cli("--version").out == f"{edgekd.__version__}\n"


@pytest.mark.parametrize(
    "words",
    [
        (),
        ("distill",),
        ("check",),
        ("check", "a.yaml", "b.yaml"),
        ("list", "--jsn"),
        ("inspect", "m", "--threads", "0"),
        ("store", "rm"),
    ],
    ids=["nothing", "no verb", "no file", "two files", "no option", "no thread", "no store verb"],
)
def test_usage_errors_exit_2(cli, words: tuple[str, ...]) -> None:
    done = cli(*words)
    assert done.code == 2
    assert "Usage" in done.out + done.err
    assert "Traceback" not in done.err


@pytest.mark.parametrize("name", [name for name, bad in BAD.items() if "{" not in bad.get("replace", "")])
@pytest.mark.parametrize("verb", ["check", "compress"])
def test_bad_spec_exits_2_and_says_what_where_fix(cli, tiny: Path, verb: str, name: str) -> None:
    bad = BAD[name]
    tiny.write_text(
        TINY.replace(bad["text"], bad["replace"]) if "text" in bad else TINY + bad.get("replace", "")
    )
    done = cli(verb, tiny, *(f"--set={item}" for item in bad.get("set", ())))
    assert (done.code, done.out) == (2, "")
    assert done.err.startswith("SpecError: ")
    assert "\n  where: " in done.err
    assert "\n  fix:   " in done.err
    assert "Traceback" not in done.err
    for part in bad["says"]:
        assert part in done.err


@pytest.mark.parametrize(
    ("override", "says"),
    [
        ("data={kind: parquet, path: none}", "no train-*.parquet"),
        ("data={kind: parquet, path: $EDGEKD_DATA/none, fetch: hf download it}", "hf download it"),
        ("student.weights={path: none.safetensors, mean: [0.5], std: [0.5]}", "no such file"),
        ("student.weights={path: tiny.yaml, mean: [0.5], std: [0.5]}", "safetensors"),
        ("teacher={network: 'onnx:none.onnx'}", "no such file"),
        ("teacher={network: 'onnx:tiny.yaml'}", "not a readable ONNX file"),
        ("quantize.calibration={manifest: none.json}", "none.json"),
        ("quantize.calibration={manifest: tiny.yaml}", "not a calibration manifest"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("verb", ["check", "compress"])
def test_missing_files_exit_2_before_any_work(
    cli, tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, verb: str, override: str, says: str
) -> None:
    monkeypatch.delenv("EDGEKD_DATA", raising=False)
    done = cli(verb, tiny, "--set", override)
    assert (done.code, done.out) == (2, "")
    assert says in done.err
    assert "fix:" in done.err
    assert "Traceback" not in done.err
    assert not (tmp_path / "store" / "entries").exists()


def test_check_plans_and_neither_runs_nor_writes(cli, tiny: Path, tmp_path: Path) -> None:
    before = sorted(path.name for path in tmp_path.iterdir())
    done = cli("check", tiny)
    assert (done.code, done.err) == (0, "")
    assert [line.split()[0] for line in done.out.splitlines() if " runs " in line] == [
        *PLAN,
        "verify_engine",
    ]
    assert "first run of this stage for pipeline tiny" in done.out
    assert sorted(path.name for path in tmp_path.iterdir()) == before


def test_check_prints_json_with_every_stage_and_notes(cli, tiny: Path) -> None:
    done = cli("check", tiny, "--set", "quantize.weights.bits=4", "--json")
    plan = json.loads(done.out)
    assert plan["pipeline"] == "tiny"
    assert [stage["name"] for stage in plan["stages"]] == PLAN
    assert not any(stage["cached"] for stage in plan["stages"])
    assert len(plan["spec_digest"]) == 64
    assert "4 bits" in plan["notes"][0]


@pytest.mark.parametrize(
    ("target", "module", "code", "extra"),
    [("openvino", "openvino", 2, "openvino"), ("tensorrt_rtx", "tensorrt_rtx", 0, "tensorrt-rtx")],
)
def test_check_says_how_to_install_what_a_target_needs(
    cli, tiny: Path, monkeypatch: pytest.MonkeyPatch, target: str, module: str, code: int, extra: str
) -> None:
    """Without OpenVINO nothing of its target can be measured; a file for TensorRT is made all the same."""
    for name in (module, f"{module}_bindings", f"edgekd.board.{target}"):
        monkeypatch.setitem(sys.modules, name, None)
    runtime_here.cache_clear()
    done = cli(
        "check", tiny, "--set", f"targets=[onnxruntime, {target}]", "--set", "quantize.profile=portable"
    )
    runtime_here.cache_clear()
    assert (done.code, f"pip install 'edgekd[{extra}]'" in done.out + done.err) == (code, True)
    told = f"note: {target} will not be built" if code == 0 else f"where: the target {target}"
    assert told in done.out + done.err


def test_check_plans_nothing_to_train_with_distill_none(cli, tiny: Path) -> None:
    plan = json.loads(cli("check", tiny, "--set", "distill={kind: none}", "--json").out)
    assert [stage["name"] for stage in plan["stages"]] == [
        "given_student", "train_student", "quantize_student", "export_marked", "lower_for", "build_engine",
    ]  # fmt: skip


def test_list_names_plug_ins(cli) -> None:
    done = cli("list")
    for word in ("digits", "parquet", "mobilenet_v2", "lsq", "hinton", "none", "onnxruntime", "local"):
        assert word in done.out
    assert "``" not in done.out
    assert json.loads(cli("list", "distill", "--json").out).keys() == {"distill"}


def test_list_suggests_kinds(cli) -> None:
    done = cli("list", "distil")
    assert done.code == 2
    assert "one of: data, task, network" in done.err


@pytest.mark.parametrize("of", ["spec", "report", "gates"])
def test_schema_is_a_json_schema(cli, of: str) -> None:
    schema = json.loads(cli("schema", of).out)
    assert schema["type"] == "object"
    assert set(schema["required"]) <= set(schema["properties"])
    text = json.dumps(schema)
    for reference in {part.split('"')[0] for part in text.split('"$ref": "#/$defs/')[1:]}:
        assert reference in schema["$defs"]


def test_schema_refuses_other_words(cli) -> None:
    done = cli("schema", "anything")
    assert (done.code, done.out) == (2, "")
    assert "one of: spec, report, gates" in done.err


def test_store_where_follows_option_and_environment(
    cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert cli("store", "where").out == f"{tmp_path / 'store'}\n"
    assert cli("store", "where", "--store", "/elsewhere").out == "/elsewhere\n"
    assert json.loads(cli("store", "where", "--json").out) == {"root": str(tmp_path / "store")}
    monkeypatch.delenv("EDGEKD_STORE")
    monkeypatch.setenv("XDG_CACHE_HOME", "/cache")
    assert cli("store", "where").out == "/cache/edgekd\n"


def test_store_show_and_gc_work_on_an_empty_store(cli, tmp_path: Path) -> None:
    assert "0.0 MB" in cli("store", "show").out
    assert json.loads(cli("store", "show", "--json").out) == []
    assert cli("store", "gc").out == "removed 0 entries, 0.0 MB\n"
    assert json.loads(cli("store", "gc", "--json", "--dry-run").out) == {
        "count": 0,
        "size_bytes": 0,
        "dry_run": True,
    }
    assert not (tmp_path / "store").exists()


@pytest.mark.parametrize("verb", ["check", "compress"])
def test_shift_as_large_as_the_images_exits_2(cli, tiny: Path, verb: str) -> None:
    done = cli(verb, tiny, "--set", "training.augment.shift_pixels=9")
    assert (done.code, done.out) == (2, "")
    assert "cannot shift 8x8 images by 9 pixels" in done.err


def test_store_that_is_a_file_exits_2(cli, tiny: Path, tmp_path: Path) -> None:
    (tmp_path / "store").write_text("")
    done = cli("compress", tiny, "--set", "distill={kind: none}")
    assert done.code == 2
    assert "StoreError" in done.err
    assert "Traceback" not in done.err


def test_inspect_says_what_is_float_and_why(cli, float_model: Path) -> None:
    done = cli("inspect", float_model)
    assert (done.code, done.err) == (0, "")
    assert "0 operators in integers, 1 in float" in done.out
    assert "MatMul" in done.out
    seen = json.loads(cli("inspect", float_model, "--json").out)
    assert seen["model"] == str(float_model)
    assert seen["coverage"]["float_op_names"] == ["MatMul"]


def test_verify_scores_and_proves(cli, pixel_model: Path) -> None:
    data = SPECS / "tiny.yaml"
    done = cli("verify", pixel_model, "--data", data)
    assert (done.code, done.err) == (0, "")
    seen = json.loads(cli("verify", pixel_model, "--data", data, "--json").out)
    assert seen["n"] == 450
    assert 0 <= seen["top1"] <= 1
    assert seen["coverage"]["float_ops"] == 0
    assert seen["fidelity"]["oracle_nodes"] >= 1
    assert seen["fidelity"]["oracle_mismatches"] == 0
    assert json.loads(cli("verify", pixel_model, "--json").out)["top1"] is None


def test_verify_that_compares_nothing_exits_2(cli, float_model: Path) -> None:
    done = cli("verify", float_model)
    assert done.code == 2
    assert "0 operators in integers, 1 in float" in done.out
    assert done.err.startswith("DataError: nothing was compared")


def test_verify_that_scores_nothing_on_given_data_exits_2(cli, pixel_model: Path, tmp_path: Path) -> None:
    labels = np.arange(40) % 4  # the model knows 10 classes
    np.savez(tmp_path / "four.npz", x_train=np.zeros((40, 8, 8), np.uint8), y_train=labels)
    done = cli("verify", pixel_model, "--data", f"arrays:{tmp_path / 'four.npz'}")
    assert done.code == 2
    assert "top1: not compared" in done.out
    assert "DataError: accuracy was not compared: the model gives" in done.err


@pytest.mark.parametrize("verb", ["inspect", "verify"])
@pytest.mark.parametrize(
    "content", [None, b"", b"hello", b"\0\1garbage" * 99], ids=["missing", "empty", "text", "bytes"]
)
def test_what_is_no_model_exits_2(cli, tmp_path: Path, verb: str, content: bytes | None) -> None:
    path = tmp_path / "model.onnx"
    if content is not None:
        path.write_bytes(content)
    done = cli(verb, path)
    assert (done.code, done.out) == (2, "")
    assert done.err.startswith("BuildError: ")
    assert str(path) in done.err
    assert "Traceback" not in done.err


def test_folder_without_a_model_exits_2(cli, tmp_path: Path) -> None:
    done = cli("verify", tmp_path)
    assert (done.code, done.out) == (2, "")
    assert "Traceback" not in done.err


def test_cut_model_exits_2(cli, float_model: Path) -> None:
    float_model.write_bytes(float_model.read_bytes()[:-20])
    done = cli("inspect", float_model)
    assert done.code == 2
    assert "Traceback" not in done.err


@pytest.mark.parametrize("data", ["diggits", "parquet", "parquet:/none", "none.yaml", "digits:x"])
def test_bad_data_exits_2(cli, pixel_model: Path, data: str) -> None:
    done = cli("verify", pixel_model, "--data", data)
    assert (done.code, done.out) == (2, "")
    assert "fix:" in done.err
    assert "Traceback" not in done.err


def test_data_that_does_not_fit_the_model_exits_2(cli, pixel_model: Path) -> None:
    done = cli("verify", pixel_model, "--data", "digits")  # 32x32, the model takes 8x8
    assert (done.code, done.out) == (2, "")
    assert "Traceback" not in done.err


@pytest.mark.parametrize(
    "body",
    [
        "(int64[n] x) => (float[n,3] y) { y = Gather (w, x) }",
        "(float[n,3] x, float[n,3] z) => (float[n,3] y) { y = Add (x, z) }",
        "() => (float[4,3] y) { y = Identity (w) }",
    ],
    ids=["indices", "two inputs", "no input"],
)
def test_models_with_other_inputs_are_inspected_or_refused(cli, tmp_path: Path, body: str) -> None:
    model = onnx.parser.parse_model(f'<ir_version: 10, opset_import: ["" : 21]> g {body}')
    model.graph.initializer.append(onnx.helper.make_tensor("w", onnx.TensorProto.FLOAT, (4, 3), [0.5] * 12))
    onnx.save(model, tmp_path / "model.onnx")
    done = cli("inspect", tmp_path / "model.onnx")
    assert done.code in {0, 2}
    assert "Traceback" not in done.err


def _app_that(action: Any) -> Typer:
    broken = Typer()
    broken.command()(action)
    return broken


def _bug() -> None:
    message = "a bug"
    raise RuntimeError(message)


def _user_error() -> None:
    raise SpecError("what [bold]", where="where", fix="fix")


def _build_error() -> None:
    raise BuildError("what")


def _no_torch() -> None:
    message = "No module named 'torch'"
    raise ModuleNotFoundError(message, name="torch")


def _terminated_where_exceptions_are_dropped() -> None:
    class Cleaned:
        def __del__(self) -> None:
            signal.raise_signal(signal.SIGTERM)

    Cleaned()
    time.sleep(10)


def _terminated_and_taken_for_a_failure() -> None:
    try:
        signal.raise_signal(signal.SIGTERM)
    except BaseException as e:
        raise ExportError("cannot export") from e


@pytest.mark.parametrize(
    ("action", "code", "says"),
    [
        (_no_torch, 2, "pip install 'edgekd[train]'"),
        (_bug, 1, "RuntimeError: a bug"),
        (_user_error, 2, "SpecError: what [bold]\n  where: where\n  fix:   fix\n"),
        (_build_error, 2, "BuildError: what\n"),
        (lambda: signal.raise_signal(signal.SIGINT), 130, "run the command again to go on"),
        (lambda: signal.raise_signal(signal.SIGTERM), 143, "run the command again to go on"),
        (_terminated_where_exceptions_are_dropped, 143, "run the command again to go on"),
        (_terminated_and_taken_for_a_failure, 143, "run the command again to go on"),
    ],
    ids=["no torch", "bug", "user error", "no fix", "ctrl-c", "terminated", "in a callback", "in disguise"],
)
def test_exit_code_says_what_happened(
    cli, monkeypatch: pytest.MonkeyPatch, action: Any, code: int, says: str
) -> None:
    monkeypatch.setattr(edgekd.cli.main, "app", _app_that(action))
    done = cli()
    assert (done.code, done.out) == (code, "")
    assert says in done.err.replace(" \n", " ")
    assert ("Traceback" in done.err) == (code == 1)


@pytest.fixture
def arrays(tmp_path: Path) -> Path:
    path = tmp_path / "arrays.npz"
    np.savez(path, x_train=np.zeros((40, 8, 8), np.uint8), y_train=np.arange(40) % 4)
    return path


def test_init_writes_a_file_that_check_takes_and_no_second_one(cli, arrays: Path, tmp_path: Path) -> None:
    out = tmp_path / "new" / "mine.yaml"
    words = ("init", "--from", "resnet_cifar", "--data", arrays, "--out", out)
    done = cli(*words)
    assert done.code == 0
    assert f"Next: edgekd compress {out}" in done.out
    assert cli("check", out).code == 0
    again = cli(*words)
    assert (again.code, again.out) == (2, "")
    assert "--force" in again.err
    assert "\nname: mine\n" in out.read_text()  # another file, another run folder
    assert json.loads(cli(*words, "--force", "--json").out)["path"] == str(out)


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("--from", "resnext"), "resnet_cifar"),
        (
            ("--from", "resnet_cifar", "--weights", __file__, "--mean", "a", "--std", "1"),
            "must be a .safetensors",
        ),
        (("--from", "resnet_cifar", "--weights", "w.safetensors"), "no such file: w.safetensors"),
        (
            ("--from", "resnet_cifar", "--weights", "none.safetensors", "--mean", "0.5", "--std", "1"),
            "no such file",
        ),
    ],
)
def test_init_explains_what_it_cannot_use(
    cli, arrays: Path, tmp_path: Path, words: tuple[str, ...], says: str
) -> None:
    done = cli("init", *words, "--data", arrays, "--out", tmp_path / "x.yaml")
    assert (done.code, done.out) == (2, "")
    assert says in done.err
    assert "fix:" in done.err
    assert not (tmp_path / "x.yaml").exists()


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ((), "--weights needs --mean and --std"),
        (("--std", "0.5"), "--weights needs --mean and --std"),
        (("--mean", "a", "--std", "1"), "'a' is not a list of numbers"),
    ],
)
def test_init_says_what_given_weights_need(
    cli, arrays: Path, tmp_path: Path, words: tuple[str, ...], says: str
) -> None:
    (tmp_path / "w.safetensors").write_bytes(b"")
    done = cli("init", "--from", "resnet", "--data", arrays, "--weights", tmp_path / "w.safetensors", *words)
    assert (done.code, done.out) == (2, "")
    assert says in done.err
    assert "fix:   write one fraction of 255 per channel" in done.err
