import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from edgekd import starter
from edgekd.data.arrays import ArraysSpec
from edgekd.data.digits import DigitsSpec
from edgekd.data.image_folder import ImageFolderSpec
from edgekd.errors import DataError, SpecError
from edgekd.spec import Pipeline, load_pipeline
from edgekd.starter import starter_file


@pytest.fixture(autouse=True)
def _store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDGEKD_STORE", str(tmp_path / "store"))


def _write(folder: Path, *, side: int = 80, mode: str = "RGB", names: tuple[str, ...] = ("a", "b")) -> Path:
    for index, name in enumerate(names):
        (folder / name).mkdir(parents=True)
        for i in range(10):
            Image.new("RGB", (side + 7, side), (20 * i, 90 * index, 9)).convert(mode).save(
                folder / name / f"{i}.png"
            )
    return folder


def _start(
    data: str | Path, tmp_path: Path, *, network: str = "mobilenet_v2", **options
) -> tuple[Pipeline, str]:
    given = {"weights": None, "command": "edgekd init", **options}
    _, text, said = starter_file(network, str(data), **given)
    (tmp_path / "made.yaml").write_text(text)
    return load_pipeline(tmp_path / "made.yaml"), said


@pytest.mark.parametrize(
    ("side", "weights", "size"), [(20, False, 32), (50, False, 48), (500, False, 64), (230, True, 224)]
)
def test_size_follows_the_images(tmp_path: Path, side: int, weights: bool, size: int) -> None:
    (tmp_path / "w.safetensors").write_bytes(b"")
    given = (
        {"path": str(tmp_path / "w.safetensors"), "mean": [0.5] * 3, "std": [0.25] * 3} if weights else None
    )
    spec, said = _start(_write(tmp_path / "photos", side=side), tmp_path, weights=given)
    assert isinstance(spec.data, ImageFolderSpec)
    assert (spec.data.height, spec.data.width) == (size, size)
    assert f"{size}x{size} pixels" in said
    assert (spec.student.training is None) == weights
    assert ("not trained" in said) == weights
    assert (re.search(r"That takes about \d+.* s on this machine", said) is None) == weights
    assert spec.student.network.stem == ("imagenet" if size >= 64 else "small")  # type: ignore[attr-defined]


def test_training_time_is_that_of_the_network_in_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    timed = []
    monkeypatch.setattr(starter, "_time_to_train", lambda network, *_, **__: timed.append(network) or "")
    spec, _ = _start(_write(tmp_path / "photos"), tmp_path)
    assert spec.student.network.stem == "imagenet"  # type: ignore[attr-defined]
    assert timed == [spec.student.network]


def test_file_says_what_is_in_the_data(tmp_path: Path) -> None:
    folder = _write(tmp_path / "my photos", mode="L", names=("cat", "a: [strange]\n# name", "dog"))
    spec, said = _start(folder, tmp_path)
    assert spec.name == "my_photos"
    assert spec.data.info().color_order == "L"  # type: ignore[union-attr]
    # 10 images per class: 2 are test, a tenth of the other 8 is 1
    assert said.startswith("3 classes, 21 train, 3 validation, 6 test images")
    assert spec.training.batch_size == 2
    assert spec.quantize.calibration.samples == 21
    assert re.search(r"^# 3 classes.*strange.*cat, dog$", (tmp_path / "made.yaml").read_text(), re.MULTILINE)


@pytest.mark.parametrize("network", ["mobilenet_v2", "resnet", "resnet_cifar", "ds_cnn"])
def test_every_network_of_edgekd_makes_a_file_that_loads(tmp_path: Path, network: str) -> None:
    spec, _ = _start("digits", tmp_path, network=network)
    assert spec.student.network.kind == network


def test_other_data_is_recognised(tmp_path: Path) -> None:
    x, y = np.zeros((40, 8, 8), np.uint8), np.arange(40) % 4
    np.savez(tmp_path / "set.npz", x_train=x, y_train=y)
    spec, _ = _start(tmp_path / "set.npz", tmp_path)
    assert isinstance(spec.data, ArraysSpec)
    assert spec.name == "set"
    spec, _ = _start("digits", tmp_path)
    assert spec.data == DigitsSpec()


def test_unknown_network_and_data_are_explained(tmp_path: Path) -> None:
    folder = _write(tmp_path / "photos")
    with pytest.raises(SpecError) as caught:
        _start(folder, tmp_path, network="mobilnet")
    assert "mobilenet_v2" in caught.value.fix
    with pytest.raises(DataError, match="no such folder"):
        _start(tmp_path / "none", tmp_path)
    (folder / "a" / "3.png").write_bytes(b"x")
    with pytest.raises(DataError) as damaged:
        _start(folder, tmp_path)
    assert damaged.value.where == str(folder / "a" / "3.png")


@pytest.mark.parametrize(
    ("network", "says"),
    [
        ("onnx:teacher.onnx", "onnx is for teachers only"),
        ("onnx", "onnx is for teachers only"),
        ("timm", "it should be timm:NAME"),
        ("python", "it should be python:FILE:FUNCTION"),
    ],
)
def test_network_that_is_none_to_compress_is_explained(tmp_path: Path, network: str, says: str) -> None:
    with pytest.raises(SpecError) as caught:
        _start("digits", tmp_path, network=network)
    assert says in str(caught.value)
    assert "onnx" not in caught.value.fix


def test_network_that_can_be_pretrained_is(tmp_path: Path, torchvision: object) -> None:
    folder = _write(tmp_path / "photos", side=240)
    spec, said = _start(folder, tmp_path, network="timm:resnet18")
    assert spec.student.network.pretrained  # type: ignore[attr-defined]
    assert "pretrained student learns your classes first" in said
    assert "224x224" in said
