"""ONNX files as teachers: what they may take, what is refused, and that the artifact computes the same."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from pydantic import ValidationError
from torch import nn

from edgekd.core.schedule import Schedule
from edgekd.core.store import Store
from edgekd.data.digits import DigitsSpec
from edgekd.errors import BuildError, DataError
from edgekd.export.onnx_file import export_onnx
from edgekd.tasks.classification import ClassificationSpec
from edgekd.teacher.export_teacher import Teacher, TeacherSpec, export_teacher, load_teacher
from edgekd.teacher.onnx_teacher import OnnxTeacherSpec
from edgekd.zoo.cost import count_macs, count_params
from edgekd.zoo.pixels import ImageNetwork, NormalizePixels
from edgekd.zoo.weights import WeightsSpec

DATA, TASK = DigitsSpec(image_size=8), ClassificationSpec()
MEAN, STD = (0.3,), (0.2,)


class Body(nn.Module):
    def __init__(self, classes: int = 10) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 4, 3, padding=1, stride=2)
        self.linear = nn.Linear(64, classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.linear(torch.relu(self.conv(x)).flatten(1))


@pytest.fixture
def body() -> nn.Module:
    torch.manual_seed(0)
    return Body().eval()


@pytest.fixture
def floats(body: nn.Module, tmp_path: Path) -> Path:
    """A file that takes float32 (n, 1, 8, 8)."""
    export_onnx(body, torch.zeros(2, 1, 8, 8), tmp_path / "floats.onnx")
    return tmp_path / "floats.onnx"


@pytest.fixture
def pixels(body: nn.Module, tmp_path: Path) -> Path:
    """The same network behind its normalization: takes uint8 (n, 8, 8, 1)."""
    network = ImageNetwork(NormalizePixels(MEAN, STD), body)
    export_onnx(network, torch.zeros(2, 8, 8, 1, dtype=torch.uint8), tmp_path / "pixels.onnx")
    return tmp_path / "pixels.onnx"


def _run(network: OnnxTeacherSpec, tmp_path: Path) -> tuple[Teacher, nn.Module]:
    spec = TeacherSpec(network=network)
    teacher = Store(tmp_path / "store").run(export_teacher, spec, DATA, TASK, None, 0)
    return teacher, load_teacher(teacher, spec, DATA.info())


@torch.no_grad()
def _assert_same(teacher: nn.Module, body: nn.Module) -> None:
    images = torch.tensor(DATA.split("test").images[:100])
    expected = ImageNetwork(NormalizePixels(MEAN, STD), body)(images)
    torch.testing.assert_close(teacher(images), expected, rtol=1e-4, atol=1e-4)


def test_a_file_that_takes_pixels_is_the_baseline_itself(
    pixels: Path, body: nn.Module, tmp_path: Path
) -> None:
    teacher, network = _run(OnnxTeacherSpec(file=str(pixels)), tmp_path)
    assert teacher.onnx_path.read_bytes() == pixels.read_bytes()
    _assert_same(network, body)
    assert list(network.parameters()) == []
    assert network.state_dict() == {}


def test_a_file_that_takes_floats_gets_its_normalization(
    floats: Path, body: nn.Module, tmp_path: Path
) -> None:
    teacher, network = _run(OnnxTeacherSpec(file=str(floats), mean=MEAN, std=STD), tmp_path)
    onnx.checker.check_model(str(teacher.onnx_path), full_check=True)
    (image,) = onnx.load(teacher.onnx_path).graph.input
    assert image.type.tensor_type.elem_type == onnx.TensorProto.UINT8
    assert [size.dim_value for size in image.type.tensor_type.shape.dim[1:]] == [8, 8, 1]
    _assert_same(network, body)


def test_facts_are_counted_from_the_graph(floats: Path, body: nn.Module, tmp_path: Path) -> None:
    teacher, network = _run(OnnxTeacherSpec(file=str(floats), mean=MEAN, std=STD), tmp_path)
    facts, test = teacher.facts(), DATA.split("test")
    assert facts.name == "floats.onnx"
    assert facts.macs == count_macs(body, channels=1, height=8, width=8) == 16 * 4 * 9 + 64 * 10
    assert facts.params == count_params(body) + 2  # mean and std
    with torch.no_grad():
        logits = network(torch.tensor(test.images)).numpy()
    assert facts.metric == TASK.score(logits, test.labels)
    assert teacher.history() == []


def test_external_data_come_along(floats: Path, body: nn.Module, tmp_path: Path) -> None:
    (tmp_path / "apart").mkdir()
    apart = tmp_path / "apart" / "model.onnx"
    onnx.save(onnx.load(floats), apart, save_as_external_data=True, location="model.data", size_threshold=0)
    spec = OnnxTeacherSpec(file=str(apart), mean=MEAN, std=STD)
    before = spec.digest
    assert before != OnnxTeacherSpec(file=str(floats), mean=MEAN, std=STD).digest
    _assert_same(_run(spec, tmp_path)[1], body)
    data = apart.with_name("model.data")
    data.write_bytes(bytes(len(data.read_bytes())))
    assert spec.digest != before
    data.unlink()
    with pytest.raises(BuildError, match=r"model\.data', which is missing"):
        _ = spec.digest


@pytest.mark.parametrize("location", ["../floats.data", "link.data", "{absolute}"])
def test_external_data_outside_the_folder_are_refused(floats: Path, tmp_path: Path, location: str) -> None:
    inside = tmp_path / "inside"
    inside.mkdir()
    onnx.save(
        onnx.load(floats), inside / "m.onnx", save_as_external_data=True, location="m.data", size_threshold=0
    )
    (inside / "m.data").rename(tmp_path / "floats.data")
    (inside / "link.data").symlink_to(tmp_path / "floats.data")
    location = location.replace("{absolute}", str(tmp_path / "floats.data"))
    model = onnx.load(inside / "m.onnx", load_external_data=False)
    for tensor in model.graph.initializer:
        next(item for item in tensor.external_data if item.key == "location").value = location
    (inside / "m.onnx").write_bytes(model.SerializeToString())
    with pytest.raises(BuildError, match="outside of its own folder"):
        _ = OnnxTeacherSpec(file=str(inside / "m.onnx")).digest


def test_the_digest_does_not_know_where_the_file_lies(floats: Path, tmp_path: Path) -> None:
    (tmp_path / "moved").mkdir()
    moved = tmp_path / "moved" / "other.onnx"
    moved.write_bytes(floats.read_bytes())
    assert OnnxTeacherSpec(file=str(moved)).digest == OnnxTeacherSpec(file=str(floats)).digest
    given = OnnxTeacherSpec(file=str(floats), mean=MEAN, std=STD)
    assert given.digest != OnnxTeacherSpec(file=str(floats)).digest


def _text_model(tmp_path: Path, signature: str, body: str) -> OnnxTeacherSpec:
    model = onnx.parser.parse_model(f'<ir_version: 10, opset_import: ["" : 21]> g {signature} {{ {body} }}')
    onnx.save(model, tmp_path / "text.onnx")
    return OnnxTeacherSpec(file=str(tmp_path / "text.onnx"))


@pytest.mark.parametrize(
    ("signature", "body", "what"),
    [
        ("(float[n,1,8,8] x, float[n] z) => (float[n,10] y)", "y = Add (x, z)", "2 inputs: x, z"),
        ("(uint8[n,8,8,1] x) => (uint8[n,8,8,1] y, uint8[n,8,8,1] z)",
         "y = Identity (x) z = Identity (x)", "2 outputs"),
        ("(uint8[n,1,8,8] x) => (uint8[n,1,8,8] y)", "y = Identity (x)", r"uint8 \(None, 1, 8, 8\); the"),
        ("(float[n,3,8,8] x) => (float[n,3,8,8] y)", "y = Identity (x)", r"float \(None, 3, 8, 8\)"),
        ("(float[n,64] x) => (float[n,64] y)", "y = Identity (x)", r"float \(None, 64\)"),
        ("(float16[n,1,8,8] x) => (float16[n,1,8,8] y)", "y = Identity (x)", r"float16 \(None, 1, 8, 8\)"),
        ("(float[n,1,8,8] x) => (float[n,1,8,8] y)", "y = Identity (x)", "takes floats: 0 means are given"),
        ("(uint8[n,8,8,1] x) => (float[n,64] y)", "f = Flatten (x) y = Cast <to = 1> (f)",
         r"makes \(64,\) of an image, not the logits of 10 classes"),
    ],
)  # fmt: skip
def test_what_is_no_classifier_of_these_images_is_refused(
    tmp_path: Path, signature: str, body: str, what: str
) -> None:
    with pytest.raises(DataError, match=what) as error:
        _run(_text_model(tmp_path, signature, body), tmp_path)
    assert "text.onnx" in error.value.where
    assert error.value.fix


def test_pixels_are_not_normalized(pixels: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="takes raw pixels"):
        _run(OnnxTeacherSpec(file=str(pixels), mean=MEAN, std=STD), tmp_path)


def test_an_operator_that_the_runtime_does_not_know_is_refused(tmp_path: Path) -> None:
    model = onnx.parser.parse_model(
        '<ir_version: 10, opset_import: ["" : 21, "mine" : 1]> '
        "g (uint8[n,8,8,1] x) => (float[n,10] y) { y = mine.Op (x) }"
    )
    onnx.save(model, tmp_path / "text.onnx")
    with pytest.raises(BuildError, match="refuses the model"):
        _run(OnnxTeacherSpec(file=str(tmp_path / "text.onnx")), tmp_path)


@pytest.mark.parametrize("content", [None, b"hello", b"\0\1garbage" * 99])
def test_what_is_no_onnx_file_is_refused(tmp_path: Path, content: bytes | None) -> None:
    if content is not None:
        (tmp_path / "a.onnx").write_bytes(content)
    with pytest.raises(DataError, match="no such file" if content is None else "not a readable ONNX file"):
        _ = OnnxTeacherSpec(file=str(tmp_path / "a.onnx")).digest


@pytest.mark.parametrize(
    "more",
    [
        {"training": Schedule(epochs=1, learning_rate=0.1)},
        {"weights": WeightsSpec(path="a.safetensors", mean=MEAN, std=STD)},
    ],
    ids=["training", "weights"],
)
def test_an_onnx_teacher_is_frozen(more: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match="an ONNX file is frozen"):
        TeacherSpec(network=OnnxTeacherSpec(file="a.onnx"), **more)


def test_mean_and_std_belong_together() -> None:
    with pytest.raises(ValidationError, match="different lengths"):
        OnnxTeacherSpec(file="a.onnx", mean=(0.5,))


def test_the_file_is_looked_for_beside_the_pipeline_file(tmp_path: Path) -> None:
    found = OnnxTeacherSpec.model_validate({"file": "a/b.onnx"}, context={"folder": tmp_path})
    assert found.file == str(tmp_path / "a" / "b.onnx")


def test_a_file_of_one_image_at_a_time_is_run_so(floats: Path, body: nn.Module, tmp_path: Path) -> None:
    model = onnx.load(floats)
    for value in (model.graph.input[0], model.graph.output[0]):
        value.type.tensor_type.shape.dim[0].dim_value = 1
    del model.graph.value_info[:]
    onnx.save(model, floats)
    teacher, network = _run(OnnxTeacherSpec(file=str(floats), mean=MEAN, std=STD), tmp_path)
    _assert_same(network, body)
    assert teacher.facts().macs == count_macs(body, channels=1, height=8, width=8)


def test_compiling_leaves_it_alone(pixels: Path, tmp_path: Path) -> None:
    network = _run(OnnxTeacherSpec(file=str(pixels)), tmp_path)[1]
    images = torch.tensor(DATA.split("test").images[:5])
    logits = torch.compile(network, backend="eager")(images)
    assert np.array_equal(logits.numpy(), network(images).numpy())
