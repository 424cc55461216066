"""What a wrong pipeline file is told, and that nothing else than an `EdgeKdError` can come of any file."""

import os
import random
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from edgekd.data.digits import DigitsSpec
from edgekd.data.parquet import ParquetSpec
from edgekd.errors import DataError, EdgeKdError, SpecError
from edgekd.spec import Pipeline, data_from_text, load_pipeline
from edgekd.teacher.onnx_teacher import OnnxTeacherSpec
from edgekd.unions import KINDS, members
from edgekd.zoo.mobilenet_v2 import MobileNetV2Spec
from edgekd.zoo.resnet_cifar import ResNetCifarSpec
from edgekd.zoo.timm_network import TimmSpec

SPECS = Path(__file__).parent / "specs"
TINY = (SPECS / "tiny.yaml").read_text()


@dataclass(frozen=True)
class Bad:
    """One mistake of ``specs/bad.yaml``."""

    says: tuple[str, ...]
    text: str = ""
    replace: str = ""
    line: int | None = None
    set: tuple[str, ...] = ()

    def spec(self) -> str:
        large = {"{long}": "f" * 5000, "{deep}": "[" * 3000, "{bomb}": _bomb(), "{merges}": _merges()}
        replacement = self.replace
        for name, text in large.items():
            replacement = replacement.replace(name, text)
        if not self.text:
            return TINY + replacement
        assert TINY.count(self.text) == 1, self.text
        return TINY.replace(self.text, replacement)


def _bomb() -> str:
    """Nine levels of ten aliases each: a billion values in a few hundred bytes."""
    lines = ["a0: &a0 [x]"] + [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]" for i in range(1, 10)]
    return "\n".join(lines) + "\n"


def _merges() -> str:
    lines = ["m0: &m0 {x: 1}"] + [
        f"m{i}: &m{i} {{<<: [{', '.join([f'*m{i - 1}'] * 10)}]}}" for i in range(1, 10)
    ]
    return "\n".join(lines) + "\n"


BAD = {name: Bad(**fields) for name, fields in yaml.safe_load((SPECS / "bad.yaml").read_text()).items()}


@pytest.fixture
def tiny(tmp_path: Path) -> Path:
    path = tmp_path / "tiny.yaml"
    path.write_text(TINY)
    return path


@pytest.mark.parametrize("name", BAD)
def test_load_pipeline_says_what_where_and_fix(tiny: Path, name: str) -> None:
    bad = BAD[name]
    tiny.write_text(bad.spec())
    with pytest.raises(SpecError) as caught:
        load_pipeline(tiny, tuple(bad.set))
    message = str(caught.value)
    for part in bad.says:
        assert part in message
    assert str(tiny) in caught.value.where or "--set" in caught.value.where
    assert bad.line is None or f"{tiny}, line {bad.line}" in caught.value.where
    assert caught.value.fix
    assert len(message) < 1000


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "a mapping of keys, this is empty"),
        (b"# only a comment\n", "a mapping of keys, this is empty"),
        (b"- version: 1\n", "a mapping of keys, this is a list"),
        (b"tiny", "a mapping of keys, this is a str"),
        (bytes(range(256)), "not UTF-8: byte 0x80"),
        (TINY.encode("utf-16"), "not UTF-8: byte 0xff"),
        (TINY.encode() + b"\0", "character #x0000 cannot be printed"),
        (b"#" * 70_000, "more than 65536 bytes"),
    ],
    ids=["empty", "comment", "list", "word", "binary", "utf16", "nul", "huge"],
)
def test_load_pipeline_refuses_other_files(tiny: Path, content: bytes, says: str) -> None:
    tiny.write_bytes(content)
    with pytest.raises(SpecError, match=says) as caught:
        load_pipeline(tiny)
    assert str(tiny) in caught.value.where
    assert caught.value.fix


@pytest.mark.parametrize(
    "path", ["", "none.yaml", "tiny.yaml/x", "a" * 300], ids=["folder", "none", "in", "long"]
)
def test_load_pipeline_says_which_path_cannot_be_read(tiny: Path, path: str) -> None:
    with pytest.raises(SpecError, match="cannot read the pipeline file") as caught:
        load_pipeline(tiny.parent / path)
    assert caught.value.fix


def test_load_pipeline_waits_for_no_pipe_and_reads_no_device(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.yaml")
    for path in (tmp_path / "pipe.yaml", Path("/dev/zero"), Path("a\0b.yaml")):
        with pytest.raises(SpecError, match="cannot read the pipeline file"):
            load_pipeline(path)


def test_load_pipeline_takes_the_largest_seed(tiny: Path) -> None:
    assert load_pipeline(tiny, (f"seed={2**32 - 1}",)).seed == 2**32 - 1


def test_load_pipeline_takes_short_numbers_and_byte_order_mark(tiny: Path) -> None:
    tiny.write_bytes(TINY.replace("0.005", "5e-3").encode("utf-8-sig"))
    spec = load_pipeline(tiny)
    assert [phase.schedule.learning_rate for phase in spec.distill.phases(spec.task)] == [0.005]


def test_load_pipeline_takes_aliases_and_merges(tiny: Path) -> None:
    aliased = TINY.replace(
        "training: {epochs: 1, learning_rate: 0.05}\nstudent",
        "training: &s {epochs: 1, learning_rate: 0.05}\nstudent",
    )
    tiny.write_text(
        aliased.replace(
            "training: {epochs: 1, learning_rate: 0.05}\ntraining", "training: {<<: *s, epochs: 2}\ntraining"
        )
    )
    student = load_pipeline(tiny).student
    assert student.training is not None
    assert (student.training.epochs, student.training.learning_rate) == (2, 0.05)


def test_an_override_changes_one_of_the_places_that_an_alias_fills(tiny: Path) -> None:
    text = TINY.replace("{kind: resnet_cifar, depth: 14}", "&n {kind: resnet_cifar, depth: 14}")
    tiny.write_text(text.replace("{kind: resnet_cifar, depth: 8}", "*n"))
    spec = load_pipeline(tiny, ("student.network.depth=8",))
    assert spec.teacher is not None
    assert (spec.teacher.network, spec.student.network) == (
        ResNetCifarSpec(depth=14),
        ResNetCifarSpec(depth=8),
    )


def test_plain_words_mean_what_they_look_like(tiny: Path) -> None:
    for name in ("no", "2020-01-01", "1_000"):
        assert load_pipeline(tiny, (f"name={name}",)).name == name


def test_load_pipeline_applies_overrides_in_order(tiny: Path) -> None:
    spec = load_pipeline(
        tiny,
        ("targets.0.threads=2", "targets.0.threads=3", "distill={kind: none}", "task.label_smoothing=0.1"),
    )
    assert spec.targets[0].threads == 3
    assert spec.distill.kind == "none"
    assert spec.task.label_smoothing == 0.1


def test_load_pipeline_takes_relative_manifest_from_the_file(
    tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(tmp_path)
    override = ("quantize.calibration={manifest: lists/some.json}",)
    spec = load_pipeline(Path("tiny.yaml"), override)
    assert spec.quantize.calibration.manifest == str(tmp_path / "lists/some.json")
    resolved = elsewhere / "spec.resolved.yaml"  # what a run's folder holds loads from anywhere
    resolved.write_text(yaml.safe_dump(spec.model_dump(mode="json"), sort_keys=False))
    assert load_pipeline(resolved) == spec


def test_load_pipeline_needs_neither_data_nor_weights_nor_manifest(tiny: Path) -> None:
    weights = "student.weights={path: none.safetensors, mean: [0.5], std: [0.5]}"
    spec = load_pipeline(
        tiny, ("data={kind: parquet, path: none}", weights, "quantize.calibration={manifest: none.json}")
    )
    for part in (spec.data, spec.student, spec.quantize):
        with pytest.raises(DataError):  # the digest reads what the spec names
            _ = part.digest


def test_load_pipeline_says_when_the_manifest_needs_a_variable(
    tiny: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("EDGEKD_DATA", raising=False)
    with pytest.raises(DataError, match="EDGEKD_DATA"):
        load_pipeline(tiny, ("quantize.calibration={manifest: $EDGEKD_DATA/some.json}",))


def _mutate(text: str, rng: random.Random) -> str:
    words = "kind epochs : { } [ ] - &a *a !!set <<:*a null 1e999 ? none 0x1F 2020-01-01 ' | # --- 0 -1 yes"
    parts = [*words.split(), "targets", "\t", "\n", "  "]
    lines = text.splitlines(keepends=True)
    for _ in range(rng.randint(1, 4)):
        at = rng.randrange(len(lines))
        line = lines[at]
        column = rng.randrange(len(line) + 1)
        match rng.randrange(6):
            case 0:
                lines[at] = line[:column] + rng.choice(parts) + line[column:]
            case 1:
                lines[at] = line[:column] + line[column + rng.randint(1, 8) :]
            case 2:
                lines.insert(at, rng.choice(lines))
            case 3:
                lines[at] = ""
            case 4:
                lines[at] = "  " + line
            case _:
                lines[at] = line.replace(rng.choice(line.split() or [" "]), rng.choice(parts))
    return "".join(lines)


@settings(max_examples=150, deadline=None)
@given(
    seed=st.integers(0, 2**32), override=st.sampled_from(["", "targets.0.x=1", "a.b=*a", "distill.kind=[x]"])
)
def test_load_pipeline_raises_nothing_else_on_mutated_files(
    tmp_path_factory: pytest.TempPathFactory, seed: int, override: str
) -> None:
    path = tmp_path_factory.getbasetemp() / "mutated.yaml"
    path.write_text(_mutate(TINY, random.Random(seed)))
    _loads_or_explains(path, override)


def _loads_or_explains(path: Path, *overrides: str) -> None:
    try:
        spec = load_pipeline(path, tuple(override for override in overrides if override))
        assert len(spec.digest) == 64
    except EdgeKdError as e:
        assert e.where
        assert e.fix


WORDS = ["hinton", "digits", "parquet", "lsq", "ort", "none", "~", "$EDGEKD_DATA/x", "1e999"]
KEYS = st.sampled_from(["kind", "path", "bits", "epochs", "weights"]) | st.text(max_size=4)
PLAIN = st.none() | st.booleans() | st.integers() | st.floats() | st.dates() | st.text(max_size=8)
VALUES = st.recursive(
    PLAIN | st.binary(max_size=8) | st.sampled_from(WORDS),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3),
    max_leaves=6,
)


def _places(tree: Any) -> list[tuple[Any, Any]]:
    """Return every (container, key) of a tree."""
    items = list(tree.items() if isinstance(tree, dict) else enumerate(tree))
    deeper = [place for _, child in items if isinstance(child, dict | list) for place in _places(child)]
    return [(tree, key) for key, _ in items] + deeper


@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_load_pipeline_raises_nothing_else_on_other_values(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    tree = yaml.safe_load(TINY)
    container, key = data.draw(st.sampled_from(_places(tree)))
    container[key] = data.draw(VALUES)
    path = tmp_path_factory.getbasetemp() / "values.yaml"
    path.write_text(yaml.safe_dump(tree, allow_unicode=True), encoding="utf-8", errors="replace")
    _loads_or_explains(path)


@settings(max_examples=50, deadline=None)
@given(text=st.text(max_size=200))
def test_load_pipeline_raises_nothing_else_on_any_text(
    tmp_path_factory: pytest.TempPathFactory, text: str
) -> None:
    path = tmp_path_factory.getbasetemp() / "any.yaml"
    path.write_bytes(text.encode("utf-8", errors="replace"))
    with pytest.raises(SpecError):
        load_pipeline(path)


def test_data_from_text_reads_every_form(tiny: Path) -> None:
    assert data_from_text("digits") == DigitsSpec()
    assert data_from_text("parquet:/data/cifar10") == ParquetSpec(path="/data/cifar10")
    assert data_from_text(str(tiny)) == DigitsSpec(image_size=8)
    assert data_from_text("{kind: digits, image_size: 8}") == DigitsSpec(image_size=8)


@pytest.mark.parametrize("text", ["", "diggits", "parquet", "digits:path", ":", "none.yaml"])
def test_data_from_text_says_what_it_takes(text: str) -> None:
    with pytest.raises(SpecError) as caught:
        data_from_text(text)
    assert caught.value.where
    assert caught.value.fix


def test_a_union_takes_its_text_form(tiny: Path) -> None:
    spec = load_pipeline(
        tiny, ("data=parquet:$EDGEKD_DATA/x", "student.network=mobilenet_v2", "distill=none")
    )
    assert spec.data == ParquetSpec(path="$EDGEKD_DATA/x")
    assert spec.student.network == MobileNetV2Spec()
    assert spec.distill.kind == "none"


def test_a_teacher_is_named_by_text_too(tiny: Path) -> None:
    teacher = load_pipeline(tiny, ("teacher={network: 'onnx:teacher.onnx'}",)).teacher
    assert teacher is not None
    assert teacher.network == OnnxTeacherSpec(file=str(tiny.parent / "teacher.onnx"))
    teacher = load_pipeline(tiny, ("teacher.network=timm:resnet18",)).teacher
    assert teacher is not None
    assert teacher.network == TimmSpec(name="resnet18")


def test_json_schema_shows_the_text_form() -> None:
    text, mapping = Pipeline.model_json_schema()["properties"]["data"]["anyOf"]
    assert text["type"] == "string"
    assert [bool(re.match(text["pattern"], given)) for given in ("parquet:x", "digits", "digit")] == [1, 1, 0]
    assert set(mapping["discriminator"]["mapping"]) == set(members("data"))


def test_members_name_every_plug_in_with_one_line() -> None:
    assert set(members("distill")) >= {"none", "qat", "hinton", "apprentice", "qkd"}
    assert set(members("network")) >= {"mobilenet_v2", "timm", "python", "onnx"}
    for kind in KINDS:
        assert members(kind)
        assert all(text.strip() and "\n" not in text for text in members(kind).values())


def test_pipeline_digest_is_a_function_of_meaning(tiny: Path, tmp_path: Path) -> None:
    spec = load_pipeline(tiny)
    spelled_out = tmp_path / "other.yaml"
    spelled_out.write_text(yaml.safe_dump(spec.model_dump(mode="json")))
    assert load_pipeline(spelled_out).digest == spec.digest
    assert load_pipeline(tiny, ("seed=1",)).digest != spec.digest


def test_pipeline_is_frozen(tiny: Path) -> None:
    spec = load_pipeline(tiny)
    with pytest.raises(ValueError, match="frozen"):
        spec.seed = 3


def test_json_schema_describes_every_section() -> None:
    schema = Pipeline.model_json_schema()
    assert set(schema["required"]) == {"version", "name", "data", "student", "distill"}
    assert schema["additionalProperties"] is False
    teacher = schema["$defs"]["Teacher"]["properties"]
    assert teacher["others"]["items"] == {"$ref": "#/$defs/OtherTeacher"}
    named, equal = teacher["assistants"]["oneOf"]
    assert (named["items"], equal) == ({"$ref": "#/$defs/Assistant"}, {"$ref": "#/$defs/EqualAssistants"})


@pytest.mark.parametrize(
    ("override", "says"),
    [
        (
            "quantize.weights={kind: pact}",
            "pact clips activations only",
        ),
        ("quantize.activations={kind: twn}", "twn makes ternary weights only"),
        ("quantize.weights={kind: twn, bits: 4}", "ternary codes of 2 bits, not 4"),
        ("quantize.weights={kind: dorefa, bits: 8}", "the odd codes -255..255, which int8 does not hold"),
        ("quantize.weights=bucketed", "float offset for every 256"),
        ("quantize.weights={kind: codebook, snapped: false}", "between integer codes"),
    ],
)
def test_quantizers_are_refused_where_they_do_not_fit(tiny: Path, override: str, says: str) -> None:
    with pytest.raises(SpecError, match=says):
        load_pipeline(tiny, (override,))


@pytest.mark.parametrize(
    ("targets", "profile"),
    [
        ("[onnxruntime]", "ort"),
        ("[{kind: onnxruntime, threads: 2}, openvino]", "ort"),
        ("[tensorrt, tensorrt_rtx]", "tensorrt"),
        ("[onnxruntime, tensorrt_rtx]", "portable"),
    ],
)
def test_the_profile_that_all_targets_run_is_taken_where_none_is_named(targets, profile, tmp_path):
    path = tmp_path / "tiny.yaml"
    path.write_text(TINY.replace("  profile: ort\n", ""))
    assert load_pipeline(path, (f"targets={targets}",)).quantize.profile == profile
