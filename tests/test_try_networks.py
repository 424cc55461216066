"""What is wrong with a network is said before anything is trained, and nothing is written."""

from pathlib import Path

import pytest
import torch
import yaml
from safetensors.torch import save_file

from edgekd.core import user_code
from edgekd.core.store import Store
from edgekd.errors import EdgeKdError
from edgekd.export.onnx_file import export_onnx
from edgekd.pipeline import compress
from edgekd.spec import load_pipeline
from edgekd.try_networks import try_networks
from edgekd.zoo.resnet_cifar import ResNetCifarSpec

TINY = yaml.safe_load((Path(__file__).parent / "specs" / "tiny.yaml").read_text())
NETS = """
import torch
from torch import nn

class Branches(nn.Module):
    def __init__(self, channels, classes):
        super().__init__()
        self.conv = nn.Conv2d(channels, 8, 3)
        self.head = nn.Linear(8, classes)

    def forward(self, x):
        x = self.conv(x).mean((2, 3))
        if x.sum() > 0:
            x = -x
        return self.head(x)

def branches(channels, classes): return Branches(channels, classes)
def too_many(channels, classes): return nn.Sequential(nn.Flatten(), nn.LazyLinear(classes + 1))
def raises(channels, classes): raise ValueError("no such width")
def a_dict(channels, classes): return {"net": 1}

class Attends(nn.Module):
    def __init__(self, channels, classes):
        super().__init__()
        self.conv, self.head = nn.Conv2d(channels, 8, 4, stride=4), nn.Linear(8, classes)

    def forward(self, x):
        x = self.conv(x).flatten(2)
        return self.head((x @ x.transpose(1, 2)).softmax(-1).matmul(x).mean(2))

def attends(channels, classes): return Attends(channels, classes)

def two_layers(channels, classes):
    return nn.Sequential(nn.Conv2d(channels, 8, 8), nn.ReLU(), nn.Flatten(), nn.Linear(8, classes))
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """Weights of a ResNet-8 for 10 grey classes, and what can be wrong with such files."""
    folder = tmp_path_factory.mktemp("given")
    (folder / "nets.py").write_text(NETS)

    def body(classes: int = 10, channels: int = 1) -> dict[str, torch.Tensor]:
        return ResNetCifarSpec(depth=8).build(channels=channels, classes=classes, size=(8, 8)).state_dict()

    save_file(body(), folder / "good.safetensors")
    save_file(body(classes=7), folder / "seven.safetensors")
    save_file(body(channels=3), folder / "colour.safetensors")
    broken = body()
    next(iter(broken.values())).view(-1)[0] = torch.nan
    save_file(broken, folder / "nan.safetensors")
    (folder / "cut.safetensors").write_bytes((folder / "good.safetensors").read_bytes()[:-100])
    torch.save({"weight": torch.zeros(2)}, folder / "pickle.pth")
    (folder / "disguised.safetensors").write_bytes((folder / "pickle.pth").read_bytes())
    return folder


WEIGHTS = {
    "seven": "2 of another shape: linear.bias (7,) instead of (10,)",
    "colour": "1 of another shape",
    "nan": "not finite",
    "cut": "not a readable safetensors file",
    "disguised": "not a readable safetensors file",
}


def _refused(folder: Path, tmp_path: Path, **sections: object) -> EdgeKdError:
    path = folder / f"{tmp_path.name}.yaml"
    path.write_text(yaml.safe_dump({**TINY, **sections}))
    with pytest.raises(EdgeKdError) as caught:
        compress(load_pipeline(path), Store(tmp_path / "store"), runs=tmp_path / "runs", command="")
    assert caught.value.fix
    assert not (tmp_path / "store" / "entries").exists()
    assert not (tmp_path / "runs").exists()
    return caught.value


@pytest.mark.parametrize("section", ["teacher", "other", "student"])
@pytest.mark.parametrize("name", WEIGHTS)
def test_weights_that_do_not_fit_are_refused_first(folder, tmp_path, section: str, name: str) -> None:
    weights = {"path": str(folder / f"{name}.safetensors"), "mean": [0.5], "std": [0.25]}
    given = {"network": {"kind": "resnet_cifar", "depth": 8}, "weights": weights}
    sections = {
        "teacher": {"teacher": given},
        "other": {"teacher": {**TINY["teacher"], "others": [given]}},
        "student": {"student": {"kind": "fixed", **given}},
    }
    error = _refused(folder, tmp_path, **sections[section])
    assert WEIGHTS[name] in error.what
    assert name in error.where


def test_a_pickle_is_refused_with_the_way_to_convert_it(folder, tmp_path) -> None:
    weights = {"path": str(folder / "pickle.pth"), "mean": [0.5], "std": [0.25]}
    student = {"kind": "fixed", "network": "resnet_cifar", "weights": weights}
    error = _refused(folder, tmp_path, student=student)
    assert "can run code when read" in error.what
    assert "torch.load('pickle.pth', weights_only=True), 'pickle.safetensors'" in error.fix


def test_a_normalization_of_other_channels_is_refused_first(folder, tmp_path) -> None:
    weights = {"path": str(folder / "good.safetensors"), "mean": [0.5] * 3, "std": [0.25] * 3}
    network = {"kind": "resnet_cifar", "depth": 8}
    error = _refused(folder, tmp_path, teacher={"network": network, "weights": weights})
    assert error.what == "mean has 3 numbers, the images have 1 channels"


@pytest.mark.parametrize(
    ("function", "says", "where"),
    [
        ("branches", "cannot be traced", "nets.py:13"),
        ("too_many", "makes a tensor (2, 11)", "nets.py:too_many"),
        ("raises", "raises raised ValueError: no such width", "nets.py:19"),
        ("a_dict", "returned a dict", "nets.py:a_dict"),
    ],
)
def test_an_odd_network_is_refused_first(folder, tmp_path, monkeypatch, function, says, where) -> None:
    monkeypatch.setattr(user_code, "_ALLOWED", True)
    student = {**TINY["student"], "network": f"python:nets.py:{function}"}
    error = _refused(folder, tmp_path, student=student)
    assert says in error.what
    assert where in error.where


def test_an_onnx_teacher_that_is_none_is_refused_first(folder, tmp_path) -> None:
    (folder / "noise.onnx").write_bytes(b"\x08\x07\x12\x03abc")
    error = _refused(folder, tmp_path, teacher={"network": "onnx:noise.onnx"})
    assert "refuses the model" in error.what


def test_what_attention_costs_on_a_runtime_is_said_first(folder, tmp_path, monkeypatch, capsys) -> None:
    pytest.importorskip("openvino")
    monkeypatch.setattr(user_code, "_ALLOWED", True)
    monkeypatch.setenv("EDGEKD_PROGRESS", "on")
    path = folder / "attends.yaml"
    student = {**TINY["student"], "network": "python:nets.py:attends"}
    path.write_text(yaml.safe_dump({**TINY, "student": student, "targets": ["onnxruntime", "openvino"]}))
    try_networks(load_pipeline(path))
    told = capsys.readouterr().err
    assert "openvino: the student multiplies two activations 2 times. OpenVINO takes the zero point" in told
    try_networks(load_pipeline(path, ("targets=[onnxruntime]",)))
    assert capsys.readouterr().err == ""


def test_an_onnx_teacher_of_other_classes_is_refused_first(folder, tmp_path) -> None:
    class Seven(torch.nn.Module):
        def forward(self, x):
            return x.float().flatten(1)[:, :7]

    export_onnx(Seven(), torch.zeros(2, 8, 8, 1, dtype=torch.uint8), folder / "seven.onnx")
    other = {"network": "onnx:seven.onnx"}
    error = _refused(folder, tmp_path, teacher={**TINY["teacher"], "others": [other]})
    assert "makes (7,) of an image, not the logits of 10 classes" in error.what


def test_code_books_of_a_network_without_layers_between_the_ends_are_refused_first(
    folder, tmp_path, monkeypatch
) -> None:
    monkeypatch.setattr(user_code, "_ALLOWED", True)
    sections = {
        "student": {**TINY["student"], "network": "python:nets.py:two_layers"},
        "quantize": {**TINY["quantize"], "weights": {"kind": "codebook", "bits": 4}},
        "distill": {"kind": "differentiable", "schedule": {"epochs": 1, "learning_rate": 0.01}},
    }
    error = _refused(folder, tmp_path, **sections)
    assert "no quantizer of the network has points" in error.what
    assert "set first_layer_bits and last_layer_bits" in error.fix


def test_a_batch_larger_than_the_data_is_refused_first(folder, tmp_path) -> None:
    error = _refused(folder, tmp_path, training={"batch_size": 4000})
    assert error.what == "1211 images do not fill one batch of 4000"
    assert error.where == "training.batch_size"
