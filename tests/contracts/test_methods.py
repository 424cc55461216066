"""What every distillation method promises; a new member of the union is tested the moment it is listed."""

import copy
from typing import get_args

import numpy as np
import pytest
import torch
from torch import nn

from edgekd.core.union import members_by_kind
from edgekd.data.dataset import Split
from edgekd.quant.calibrate import calibrate
from edgekd.quant.prepare import prepare
from edgekd.quant.scheme import QuantScheme
from edgekd.spec import Distill, Quantizer
from edgekd.tasks.classification import ClassificationSpec
from edgekd.train.loop import Trainee, train
from edgekd.train.options import TrainSpec
from edgekd.train.phase import KdLoss, Phase
from edgekd.zoo.pixels import ImageNetwork, PixelGrid

TASK = ClassificationSpec()
METHODS = get_args(get_args(Distill)[0])

pytestmark = pytest.mark.parametrize(
    "method", METHODS, ids=lambda method: method.model_fields["kind"].default
)


def built(method):
    """Return the method with the little that it requires."""
    required = {"schedule": {"epochs": 10, "learning_rate": 0.05}}
    return method.model_validate({name: required[name] for name in required if name in method.model_fields})


def network(seed):
    torch.manual_seed(seed)
    layers = nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(16, 3)
    return ImageNetwork(PixelGrid.like(), nn.Sequential(*layers))


def quantizer(method):
    """Return a weight quantizer that the method can train."""
    kind = method.weight_quantizers[0] if method.weight_quantizers else "lsq"
    return members_by_kind(Quantizer)[kind](bits=3)


@pytest.fixture
def trainee(method):
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 3, 64)
    images = rng.integers(0, 100, (64, 4, 4, 1), dtype=np.uint8)
    images[np.arange(64), labels] += 150
    scheme = QuantScheme(weights=quantizer(method), first_layer_bits=3, last_layer_bits=3)
    student = prepare(network(0), torch.tensor(images[:2]), scheme=scheme)
    calibrate(student, [torch.tensor(images)])
    split = Split(images, labels.astype(np.int64))
    return Trainee(student, network(1), split, evaluate=lambda student: None)


def test_phases_are_phases(method):
    phases = built(method).phases(TASK)
    assert isinstance(phases, tuple)
    for phase in phases:
        assert isinstance(phase, Phase)
        assert isinstance(phase.loss, KdLoss)
        assert phase.name
        assert len(phase.epochs) > 0
        assert phase.epochs.stop <= phase.schedule.epochs
    assert len({phase.name for phase in phases}) == len(phases)


def test_training_lowers_the_loss_and_leaves_a_frozen_teacher_alone(method, trainee, tmp_path):
    phases = built(method).phases(TASK)
    teacher = copy.deepcopy(trainee.teacher.state_dict())
    student = copy.deepcopy(trainee.student.state_dict())
    options = TrainSpec(batch_size=16, compile="never")
    history = train(trainee, phases, options, seed=0, scratch=tmp_path)
    assert len(history) == sum(len(phase.epochs) for phase in phases)
    same = all(torch.equal(value, teacher[name]) for name, value in trainee.teacher.state_dict().items())
    assert same == (not built(method).trains_teacher(TASK))
    changed = any(
        not torch.equal(value, student[name]) for name, value in trainee.student.state_dict().items()
    )
    assert changed == bool(phases)
    for loss in {phase.loss for phase in phases}:
        names = {phase.name for phase in phases if phase.loss is loss}
        losses = [record.loss for record in history if record.phase in names]
        assert losses[-1] < losses[0]
