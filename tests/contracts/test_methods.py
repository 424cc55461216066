"""What every distillation method promises; a new member of the union is tested the moment it is listed."""

import copy
from contextlib import nullcontext
from typing import get_args

import numpy as np
import pytest
import torch
from torch import nn

from edgekd.core.union import members_by_kind
from edgekd.data.dataset import Split
from edgekd.distill.imitation import Imitation
from edgekd.quant.calibrate import calibrate
from edgekd.quant.minmax import MinMaxSpec
from edgekd.quant.prepare import prepare
from edgekd.quant.scheme import QuantScheme
from edgekd.tasks.classification import ClassificationSpec
from edgekd.train import phase_run
from edgekd.train.checkpoint import save_checkpoint
from edgekd.train.loop import Trainee, train
from edgekd.train.options import TrainSpec
from edgekd.train.phase import KdLoss, Phase
from edgekd.unions import Distill, Quantizer
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
    kind = method.trains_weights[0] if method.trains_weights else "lsq"
    return members_by_kind(Quantizer)[kind](bits=3)


@pytest.fixture
def trainee(method):
    return fresh_trainee(method)


def fresh_trainee(method):
    """Return student, teacher and data, always the same, with a grid of activations that moves, too."""
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 3, 64)
    images = rng.integers(0, 100, (64, 4, 4, 1), dtype=np.uint8)
    images[np.arange(64), labels] += 150
    scheme = QuantScheme(
        weights=quantizer(method), activations=MinMaxSpec(), first_layer_bits=3, last_layer_bits=3
    )
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


def variants(method):
    """Return the method with each kind of imitation that it has."""
    first = built(method)
    if "imitation" not in method.model_fields:
        return [first]
    return [first.model_copy(update={"imitation": kind}) for kind in get_args(Imitation)]


def test_what_is_averaged_of_several_teachers_is_what_it_copies(method):
    """The gradient of what is copied points from what the teacher says to what the student says."""
    one, other = torch.tensor([[2.0, 0.0, -1.0]]), torch.tensor([[0.0, 1.0, 3.0]])
    for variant in variants(method):
        for phase in (phase for phase in variant.phases(TASK) if phase.loss.needs_teacher):
            gradients = []
            for logits_t in (one, other):
                logits_s = torch.zeros(1, 3, requires_grad=True)
                phase.loss(logits_s, logits_t, torch.tensor([0])).backward()
                gradients.append(logits_s.grad)
            t = variant.heard_at
            said = [logits if t is None else torch.softmax(logits / t, 1) for logits in (one, other)]
            pulls = gradients[0] - gradients[1], said[1] - said[0]
            assert float(torch.cosine_similarity(*pulls)) == pytest.approx(1, abs=1e-6)


def test_several_teachers_and_an_onnx_file_are_taken_or_refused_with_the_way_out(method):
    found = built(method)
    for several, frozen in ((True, False), (False, True)):
        reason = found.unfit_teacher(TASK, assisted=False, several=several, frozen=frozen)
        assert bool(reason) == found.trains_teacher(TASK)
        assert not reason or ("trains the teacher" in reason and ": " in reason)


def test_an_assistant_is_a_teacher_that_may_learn(method):
    reason = built(method).unfit_teacher(TASK, assisted=True, several=True, frozen=True)
    assert bool(reason) == (built(method).teacher_start == "random")


def test_training_lowers_the_loss_and_leaves_a_frozen_teacher_alone(method, trainee, tmp_path):
    phases = built(method).phases(TASK)
    teacher = copy.deepcopy(trainee.teacher.state_dict())
    student = copy.deepcopy(dict(trainee.student.named_parameters()))
    options = TrainSpec(batch_size=16, compile="never")
    history = train(trainee, phases, options, seed=0, scratch=tmp_path)
    assert len(history) == sum(len(phase.epochs) for phase in phases)
    same = all(torch.equal(value, teacher[name]) for name, value in trainee.teacher.state_dict().items())
    assert same == (not built(method).trains_teacher(TASK))
    changed = any(not torch.equal(value, student[name]) for name, value in trainee.student.named_parameters())
    assert changed == bool(phases)
    for loss in {phase.loss for phase in phases}:
        names = {phase.name for phase in phases if phase.loss is loss}
        losses = [record.loss for record in history if record.phase in names]
        assert losses[-1] < losses[0]


@pytest.mark.parametrize("stop", [3, 30])
def test_training_that_was_stopped_goes_on_with_the_same_bits(method, stop, tmp_path, monkeypatch):
    """Ten epochs of four steps, each with a save behind it: the 3rd and the 30th are within an epoch."""

    def run(scratch, stop_after=None):
        saved = []

        def save(*arguments):
            saved.append(save_checkpoint(*arguments))
            if len(saved) == stop_after:
                raise KeyboardInterrupt

        monkeypatch.setattr(phase_run, "CHECKPOINT_SECONDS", 0.0)
        monkeypatch.setattr(phase_run, "save_checkpoint", save)
        trainee, options = fresh_trainee(method), TrainSpec(batch_size=16, compile="never", ema=0.9)
        history = train(trainee, built(method).phases(TASK), options, seed=0, scratch=scratch)
        weights = {**trainee.student.state_dict(), **trainee.teacher.state_dict(prefix="teacher.")}
        return [record.loss for record in history], weights

    losses, weights = run(tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt) if built(method).phases(TASK) else nullcontext():
        run(tmp_path / "stopped", stop_after=stop)
    resumed_losses, resumed = run(tmp_path / "stopped")
    assert resumed_losses == losses
    assert all(torch.equal(value, resumed[name]) for name, value in weights.items())
