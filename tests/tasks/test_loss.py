import math

import pytest
import torch

from edgekd.errors import TrainError
from edgekd.tasks.classification import ClassificationSpec, TaskSpec
from edgekd.tasks.loss import task_loss

# One sample, logits (ln 3, 0): probabilities 3/4 and 1/4.
LOGITS = torch.tensor([[math.log(3), 0.0]])


def test_task_loss_is_the_cross_entropy():
    assert task_loss(ClassificationSpec(), LOGITS, torch.tensor([0])).item() == pytest.approx(-math.log(0.75))


def test_task_loss_spreads_the_label_smoothing_over_all_classes():
    """Smoothing 0.2 over 2 classes: target (0.9, 0.1)."""
    loss = task_loss(ClassificationSpec(label_smoothing=0.2), LOGITS, torch.tensor([0]))
    assert loss.item() == pytest.approx(-0.9 * math.log(0.75) - 0.1 * math.log(0.25))


def test_task_loss_refuses_a_task_that_it_does_not_know():
    class Other(TaskSpec):
        kind: str = "other"

        @property
        def metric_name(self):
            return "other"

        def measure(self, outputs, labels):
            return 1.0

        def score(self, outputs, labels):
            raise NotImplementedError

        def correct(self, outputs, labels):
            return None

        def agreement(self, outputs, others):
            return None

    with pytest.raises(TrainError, match="'other' has no training loss"):
        task_loss(Other(), LOGITS, torch.tensor([0]))
