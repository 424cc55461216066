"""Teachers of a phase: what they say of a batch, and what they learn from it."""

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn

from edgekd.train.learner import Learner
from edgekd.train.options import TrainSpec
from edgekd.train.phase import TeacherLearning
from edgekd.train.precision import computing


class FrozenTeacher:
    """A teacher in eval mode that stays as it is."""

    def __init__(self, network: nn.Module, fabric: Fabric, options: TrainSpec, *, compiled: bool) -> None:
        self.network, self.options, self.device = network, options, fabric.device
        placed = network.eval().requires_grad_(False).to(fabric.device)
        self.forward = torch.compile(placed) if compiled else placed

    def teach(self, images: Tensor, logits_s: Tensor, y: Tensor, rate: float) -> tuple[Tensor, float]:
        """Return the logits of a batch, and 0 for the loss of a teacher that learns nothing."""
        with torch.no_grad(), computing(self.network, self.options, self.device):
            return self.forward(images).float(), 0.0


class LearningTeacher:
    """A teacher in train mode that takes a step on every batch."""

    def __init__(
        self,
        network: nn.Module,
        fabric: Fabric,
        options: TrainSpec,
        learning: TeacherLearning,
        *,
        compiled: bool,
    ) -> None:
        self.learning = learning
        self.learner = Learner(network.requires_grad_(True), fabric, options, compiled=compiled)

    def teach(self, images: Tensor, logits_s: Tensor, y: Tensor, rate: float) -> tuple[Tensor, float]:
        """Learn from a batch.

        Args:
            images: uint8 (batch, height, width, channels).
            logits_s: What the student says of them, without gradient.
            y: Labels (batch,).
            rate: The student's learning rate.

        Returns:
            The logits that the student hears, without gradient, and the teacher's loss.
        """
        logits_t = self.learner(images)
        loss = self.learning.loss(logits_t, logits_s, y)
        self.learner.learn(loss, rate * self.learning.rate)
        if self.learning.update == "sequential":
            with torch.no_grad():
                logits_t = self.learner(images)
        return logits_t.detach(), float(loss.detach())
