from pathlib import Path

import pytest

from edgekd.advice import advice
from edgekd.pipeline import survey
from edgekd.spec import load_pipeline

SPECS = Path(__file__).parent / "specs"
EIGHT_BITS = "onnxruntime: codes reach 127, so CPUs without VNNI need session.x64quantprecision=1"


@pytest.fixture
def tiny(tmp_path: Path) -> Path:
    path = tmp_path / "tiny.yaml"
    path.write_text((SPECS / "tiny.yaml").read_text())
    return path


@pytest.mark.parametrize(
    ("overrides", "says"),
    [
        (("student.network={kind: mobilenet_v2, stem: imagenet}",), "set stem: small"),
        (
            ("quantize.weights.bits=4",),
            "onnxruntime: weights of 4 bits are stored in 4 bits each; all is computed as 8-bit codes, not "
            "faster than with 8 bits; sums of codes up to 7 cannot saturate on CPUs without VNNI, but codes "
            "of the first or last layer reach 127, so",
        ),
        (
            ("quantize.weights.bits=4", "quantize.first_layer_bits=4", "quantize.last_layer_bits=7"),
            "not faster than with 8 bits; sums of codes up to 7 cannot saturate on CPUs without VNNI.",
        ),
        (
            ("quantize.weights.bits=3",),
            "weights of 3 bits are stored in 3 bits each; all is computed as 8-bit codes, not faster than "
            "with 8 bits; sums of codes up to 3",
        ),
        (
            ("quantize.weights=ttq",),
            "stored in 2 bits each; all is computed as 8-bit codes, not faster than with 8 bits; codes reach "
            "127, so CPUs without VNNI need",
        ),
        (
            ("quantize.activations={kind: lsq, bits: 4}",),
            "onnxruntime: activations of 4 bits make nothing smaller; all is computed as 8",
        ),
        (
            ("quantize.residual_bits=4",),
            "onnxruntime: a residual stream of 4 bits makes nothing smaller; all is computed as 8",
        ),
        (
            ("quantize.weights={kind: dorefa, bits: 4}", "targets=[openvino]"),
            "openvino: weights of 4 bits are stored in 8 bits each, not smaller",
        ),
        (
            ("quantize.weights={kind: dorefa, bits: 3}", "targets=[openvino]"),
            "openvino: weights of 3 bits are stored in 4 bits each",
        ),
        (
            ("quantize.weights.bits=4", "targets=[openvino]"),
            "sums of codes up to 127 saturate on CPUs without VNNI: codes up to 64 would not, as kind lsq",
        ),
        (
            (
                *(f"quantize.{key}=7" for key in ("weights.bits", "first_layer_bits", "last_layer_bits")),
                "targets=[openvino]",
            ),
            "sums of codes up to 63 cannot saturate on CPUs without VNNI",
        ),
        (
            (
                "quantize.residual_bits=4",
                *(f"quantize.{key}=7" for key in ("weights.bits", "first_layer_bits", "last_layer_bits")),
                "targets=[openvino]",
            ),
            "residual additions read steps of 4 bits, to which OpenVINO does not round",
        ),
        (("quantize.profile=portable",), "128 levels"),
        (
            ("distill={kind: apprentice, scheme: A, schedule: {epochs: 1, learning_rate: 0.1}}",),
            "a new teacher",
        ),
        ((f"student.network=python:{__file__}:build",), "it needs --allow-code"),
    ],
    ids=[
        "stem",
        "weights",
        "all weights",
        "3 bits",
        "codes",
        "activations",
        "residual stream",
        "codes on OpenVINO",
        "small codes on OpenVINO",
        "large codes on OpenVINO",
        "7 bits on OpenVINO",
        "residual stream on OpenVINO",
        "portable",
        "random teacher",
        "code",
    ],
)
def test_advice_says_what_will_not_pay(tiny: Path, overrides: tuple[str, ...], says: str) -> None:
    assert advice(load_pipeline(tiny)) == [EIGHT_BITS]
    (note,) = set(advice(load_pipeline(tiny, overrides))) - {EIGHT_BITS}
    assert says in f"{note}."


def test_advice_is_for_the_version_that_a_board_has(tiny: Path) -> None:
    spec = load_pipeline(tiny, ("quantize.weights.bits=4",))
    place = survey(spec)[0].model_copy(update={"runtime_version": "1.19.2"})
    (note,) = advice(spec, [place])
    assert "weights of 4 bits are stored in 8 bits each, not smaller" in note
    (note,) = advice(spec, survey(spec))
    assert "weights of 4 bits are stored in 4 bits each" in note


def test_advice_names_all_code_of_the_users(tiny: Path) -> None:
    (tiny.parent / "mine.py").write_text("")
    data = (
        "data={kind: python, code: {file: mine.py, function: load}, height: 8, width: 8, class_names: [a, b]}"
    )
    augment = "training.augment.code={file: mine.py, function: vary}"
    notes = [note for note in advice(load_pipeline(tiny, (data, augment))) if note != EIGHT_BITS]
    assert [note.partition(" it needs")[0].rpartition("/")[2] for note in notes] == [
        "mine.py:load:",
        "mine.py:vary:",
    ]
    assert all("--allow-code" in note for note in notes)


def test_one_profile_for_several_runtimes_is_told_with_its_cost():
    spec = load_pipeline(SPECS / "tiny.yaml", ("targets=[onnxruntime, openvino]",))
    assert "profile ort serves onnxruntime, openvino at no cost" in advice(spec)
    spec = load_pipeline(
        SPECS / "tiny.yaml", ("targets=[onnxruntime, tensorrt]", "quantize.profile=portable")
    )
    assert any("128 levels instead of 256" in note and "tensorrt" in note for note in advice(spec))


def test_who_teaches_whom_is_told_where_it_is_more_than_one_teacher():
    learning = "training: {epochs: 1, learning_rate: 0.1}"
    overrides = (
        "teacher.network.depth=20",
        f"teacher.others=[{{network: mobilenet_v2, {learning}}}]",
        f"teacher.assistants={{count: 1, {learning}}}",
    )
    bits, heard, chain = advice(load_pipeline(SPECS / "tiny.yaml", overrides))
    assert bits == EIGHT_BITS
    assert "compare accuracy and latency with the first, resnet20" in heard
    assert chain.endswith("resnet20 and mobilenet_v2 x1 -> resnet14 -> resnet8")
    assert advice(load_pipeline(SPECS / "tiny.yaml", (*overrides, "distill={kind: none}"))) == [EIGHT_BITS]


def test_pruning_of_random_weights_is_pointed_out() -> None:
    space = "{kind: pruned, network: {kind: resnet_cifar, depth: 8}}"
    training = "training: {epochs: 3, learning_rate: 0.1}"
    student = f"student={{kind: search, space: {space}, limits: {{max_macs: 1000}}, {training}}}"
    assert any(
        "start from random weights" in note for note in advice(load_pipeline(SPECS / "tiny.yaml", (student,)))
    )
    resnet = student.replace(space, "{kind: resnet}")
    assert not any("random weights" in note for note in advice(load_pipeline(SPECS / "tiny.yaml", (resnet,))))
