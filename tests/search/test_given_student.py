from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from edgekd.core.schedule import Schedule
from edgekd.core.store import Store
from edgekd.data.digits import DigitsSpec
from edgekd.search.given_student import FixedStudentSpec, given_student
from edgekd.search.train_student import train_student
from edgekd.tasks.classification import ClassificationSpec
from edgekd.train.evaluate import predict
from edgekd.train.options import TrainSpec
from edgekd.zoo.pixels import ImageNetwork, NormalizePixels
from edgekd.zoo.resnet_cifar import ResNetCifarSpec
from edgekd.zoo.student import student_network
from edgekd.zoo.weights import WeightsSpec

DATA, TASK, TRAINING = DigitsSpec(image_size=8), ClassificationSpec(), TrainSpec(compile="never")
NETWORK = ResNetCifarSpec(depth=8)


def test_student_has_an_origin() -> None:
    with pytest.raises(ValueError, match="give weights, training, or both"):
        FixedStudentSpec(network=NETWORK)


def test_given_student_writes_the_given_architecture(tmp_path: Path) -> None:
    spec = FixedStudentSpec(network=NETWORK, training=Schedule(epochs=1, learning_rate=0.1))
    arch = Store(tmp_path).run(given_student, spec)
    assert arch.network(spec) == NETWORK
    assert arch.read_json("network.json") == {"kind": "resnet_cifar", "depth": 8}


def test_train_student_folds_given_weights_and_their_normalization(tmp_path: Path) -> None:
    torch.manual_seed(5)
    body = NETWORK.build(channels=1, classes=10, size=(32, 32))
    save_file(body.state_dict(), tmp_path / "w.safetensors")
    weights = WeightsSpec(path=str(tmp_path / "w.safetensors"), mean=(0.3,), std=(0.2,))
    spec = FixedStudentSpec(network=NETWORK, weights=weights)
    store = Store(tmp_path / "store")
    arch = store.run(given_student, spec)
    student = store.run(train_student, spec, arch, DATA, TASK, TRAINING, 0)
    network = student_network(spec, arch, DATA.info())
    student.load_into(network)
    given = ImageNetwork(NormalizePixels((0.3,), (0.2,)), body)
    test = DATA.split("test")
    agreement = (predict(network, test).argmax(1) == predict(given, test).argmax(1)).mean()
    assert agreement > 0.9  # only zero padding means another pixel now
    assert student.history() == []


def test_train_student_trains_on_the_labels(tmp_path: Path) -> None:
    spec = FixedStudentSpec(network=NETWORK, training=Schedule(epochs=1, learning_rate=0.1))
    store = Store(tmp_path)
    arch = store.run(given_student, spec)
    student = store.run(train_student, spec, arch, DATA, TASK, TRAINING, 0)
    (record,) = student.history()
    assert (record.phase, record.epoch) == ("train student", 1)
    assert student.facts().metric.value > 0.2  # chance is 0.1
