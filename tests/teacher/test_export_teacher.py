from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from safetensors.torch import save_file

from edgekd.core.schedule import Schedule
from edgekd.core.store import Store
from edgekd.data.digits import DigitsSpec
from edgekd.errors import DataError
from edgekd.tasks.classification import ClassificationSpec
from edgekd.teacher.export_teacher import Teacher, TeacherSpec, export_teacher, load_teacher, teacher_network
from edgekd.train.options import TrainSpec
from edgekd.zoo.pixels import NormalizePixels
from edgekd.zoo.resnet_cifar import ResNetCifarSpec
from edgekd.zoo.weights import WeightsSpec

DATA, TASK, TRAINING = DigitsSpec(image_size=8), ClassificationSpec(), TrainSpec(compile="never")
NETWORK = ResNetCifarSpec(depth=8)
SCHEDULE = Schedule(epochs=1, learning_rate=0.1)


@pytest.fixture
def weights(tmp_path: Path) -> WeightsSpec:
    torch.manual_seed(5)
    path = tmp_path / "weights.safetensors"
    save_file(NETWORK.build(channels=1, classes=10, size=(32, 32)).state_dict(), path)
    return WeightsSpec(path=str(path), mean=(0.3,), std=(0.2,))


@pytest.mark.parametrize("origins", ["none", "both"])
def test_teacher_has_exactly_one_origin(weights: WeightsSpec, origins: str) -> None:
    given = {"weights": weights, "training": SCHEDULE} if origins == "both" else {}
    with pytest.raises(ValueError, match="give either weights or training"):
        TeacherSpec.model_validate({"network": NETWORK, **given})


def test_teacher_network_normalizes_as_its_weights_were_trained(weights: WeightsSpec) -> None:
    network = teacher_network(NETWORK, weights, DATA.info())
    assert isinstance(network.pixels, NormalizePixels)
    images = torch.full((1, 8, 8, 1), 51, dtype=torch.uint8)
    assert network.pixels(images).shape == (1, 1, 8, 8)
    assert torch.allclose(network.pixels(images), torch.tensor((51 / 255 - 0.3) / 0.2))


def test_export_teacher_keeps_given_weights_and_their_facts(weights: WeightsSpec, tmp_path: Path) -> None:
    spec = TeacherSpec(network=NETWORK, weights=weights)
    teacher = Store(tmp_path / "store").run(export_teacher, spec, DATA, TASK, TRAINING, 0)
    network = load_teacher(teacher, spec, DATA.info())
    given = NETWORK.build(channels=1, classes=10, size=(32, 32))
    torch.manual_seed(5)
    given = NETWORK.build(channels=1, classes=10, size=(32, 32))
    assert all(
        torch.equal(value, network.body.state_dict()[key]) for key, value in given.state_dict().items()
    )
    facts, test = teacher.facts(), DATA.split("test")
    assert (facts.name, facts.metric.n, teacher.history()) == ("resnet8", len(test), [])
    _assert_onnx_is_the_network(teacher, network, test.images[:32])


def test_export_teacher_trains_on_the_labels(tmp_path: Path) -> None:
    spec = TeacherSpec(network=NETWORK, training=SCHEDULE)
    teacher = Store(tmp_path / "store").run(export_teacher, spec, DATA, TASK, TRAINING, 0)
    (record,) = teacher.history()
    assert (record.phase, record.epoch) == ("train teacher", 1)
    assert record.metric is not None
    assert teacher.facts().metric.value > 0.2  # chance is 0.1
    assert sorted(path.name for path in teacher.folder.iterdir()) == [
        "facts.json",
        "history.json",
        "model.onnx",
        "weights.safetensors",
    ]
    _assert_onnx_is_the_network(
        teacher, load_teacher(teacher, spec, DATA.info()), DATA.split("test").images[:32]
    )


def test_mirrored_teacher_averages_an_image_and_its_mirror(weights: WeightsSpec, tmp_path: Path) -> None:
    spec = TeacherSpec(network=NETWORK, weights=weights, mirrored=True)
    teacher = Store(tmp_path / "store").run(export_teacher, spec.origin, DATA, TASK, None, 0)
    plain, mirrored = (load_teacher(teacher, kind, DATA.info()).eval() for kind in (spec.origin, spec))
    images = torch.tensor(DATA.split("test").images[:4])
    expected = (plain(images) + plain(torch.flip(images, dims=[2]))) / 2
    assert torch.equal(mirrored(images), expected)
    assert not torch.allclose(expected, plain(images))


def test_asking_the_teacher_otherwise_does_not_train_it_again() -> None:
    plain = TeacherSpec(network=NETWORK, training=SCHEDULE)
    assert plain.model_copy(update={"mirrored": True}).origin.digest == plain.digest


def test_export_teacher_refuses_weights_of_another_network(weights: WeightsSpec, tmp_path: Path) -> None:
    spec = TeacherSpec(network=ResNetCifarSpec(depth=14), weights=weights)
    with pytest.raises(DataError, match="missing"):
        Store(tmp_path / "store").run(export_teacher, spec, DATA, TASK, TRAINING, 0)


def _assert_onnx_is_the_network(teacher: Teacher, network: torch.nn.Module, images: np.ndarray) -> None:
    onnx.checker.check_model(str(teacher.onnx_path), full_check=True)
    session = onnxruntime.InferenceSession(str(teacher.onnx_path), providers=["CPUExecutionProvider"])
    assert (session.get_inputs()[0].name, session.get_outputs()[0].name) == ("image", "logits")
    (logits,) = session.run(None, {"image": images})
    with torch.no_grad():
        expected = network.eval()(torch.tensor(images)).numpy()
    np.testing.assert_allclose(logits, expected, rtol=1e-3, atol=1e-3)
