"""The mean of several teachers, against numbers computed by hand.

T = 2: (2 log 9, 0) softens to 0.9, 0.1 and (0, 0) to 0.5, 0.5. With shares 3 and 1 the mean is 0.8, 0.2. The
student says 0.5, 0.5: KL = 0.8 log 1.6 + 0.2 log 0.4 = 0.192745, times T**2 0.770979.
"""

import math
from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from edgekd.core.store import Store
from edgekd.data.digits import DigitsSpec
from edgekd.distill.imitation import soft_divergence
from edgekd.export.onnx_file import export_onnx
from edgekd.tasks.classification import ClassificationSpec
from edgekd.teacher.export_teacher import export_teacher, load_teacher
from edgekd.teacher.several import MeanTeacher, load_heard
from edgekd.teacher_section import OneTeacher, OtherTeacher, Teacher

IMAGES = torch.zeros(1, 1)
DATA, TASK = DigitsSpec(image_size=8), ClassificationSpec()


class Says(nn.Module):
    """A teacher that says the same of every image."""

    def __init__(self, *logits: float) -> None:
        super().__init__()
        self.logits = torch.tensor([logits])

    def forward(self, images: Tensor) -> Tensor:
        return self.logits


class Flat(nn.Module):
    """What an ONNX file holds."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(64, 10)

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.linear(x.float().flatten(1) / 16)
        return logits


def _heard(*says: Sequence[float], shares: Sequence[float], heard_at: float | None) -> Tensor:
    heard: Tensor = MeanTeacher([Says(*logits) for logits in says], shares, heard_at=heard_at)(IMAGES)
    return heard


def test_softened_probabilities_are_averaged() -> None:
    logits = _heard((2 * math.log(9), 0.0), (0.0, 0.0), shares=(3, 1), heard_at=2.0)
    torch.testing.assert_close(torch.softmax(logits / 2, 1), torch.tensor([[0.8, 0.2]]))
    torch.testing.assert_close(logits, 2 * torch.tensor([[0.8, 0.2]]).log())
    loss = soft_divergence(torch.zeros(1, 2), logits, temperature=2.0)
    assert float(loss) == pytest.approx(0.770979, abs=1e-6)


def test_logits_are_averaged_where_no_probabilities_are_copied() -> None:
    logits = _heard((4.0, 0.0), (0.0, -8.0), shares=(3, 1), heard_at=None)
    assert logits.tolist() == [[3.0, -2.0]]


def test_teachers_that_are_sure_leave_numbers_finite() -> None:
    alike = _heard((1e4, 0.0), (1e4, 0.0), shares=(1, 1), heard_at=1.0)
    torch.testing.assert_close(alike, torch.tensor([[0.0, -1e4]]))
    opposed = _heard((1e4, 0.0), (0.0, 1e4), shares=(1, 1), heard_at=1.0)
    torch.testing.assert_close(opposed.exp(), torch.tensor([[0.5, 0.5]]))


def test_a_mirrored_network_and_an_onnx_file_are_heard_as_one(tmp_path: Path) -> None:
    torch.manual_seed(0)
    images = torch.tensor(DATA.split("test").images[:4])
    export_onnx(Flat().eval(), images[:2], tmp_path / "flat.onnx")
    network = {"network": {"kind": "resnet_cifar", "depth": 8}, "mirrored": True}
    training = {"epochs": 1, "learning_rate": 0.05}
    specs = (
        OtherTeacher.model_validate({**network, "training": training}),
        OtherTeacher.model_validate({"network": f"onnx:{tmp_path / 'flat.onnx'}", "share": 3}),
    )
    store = Store(tmp_path / "store")
    teachers = tuple(store.run(export_teacher, spec.alone.origin, DATA, TASK, None, 0) for spec in specs)
    heard = load_heard(teachers, specs, DATA.info(), heard_at=4.0).eval()
    one, other = (
        torch.softmax(load_teacher(made, spec, DATA.info()).eval()(images) / 4, 1)
        for made, spec in zip(teachers, specs, strict=True)
    )
    torch.testing.assert_close(torch.softmax(heard(images) / 4, 1), 0.25 * one + 0.75 * other)


def test_a_lone_teacher_is_handed_to_stages_as_ever() -> None:
    """Stored trainings are found by this digest: a new key of the section must not get into it."""
    fields = {"network": {"kind": "resnet_cifar", "depth": 14}, "mirrored": True}
    section = Teacher.model_validate({**fields, "training": {"epochs": 1, "learning_rate": 0.05}})
    assert section.alone.digest == "04ae929cc8d0f650bb2eb4c98e0834111021e93fc14575631a6ca0c28ec06f35"


def test_how_a_teacher_came_to_be_does_not_know_its_share() -> None:
    fields = {"network": {"kind": "resnet_cifar"}, "training": {"epochs": 1, "learning_rate": 0.1}}
    other = OtherTeacher.model_validate({**fields, "share": 2})
    assert other.alone.digest == OneTeacher.model_validate(fields).digest
