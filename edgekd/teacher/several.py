"""Several frozen teachers, heard as one: the weighted mean of what a method copies.

Papers: Hinton, Vinyals, Dean, "Distilling the Knowledge in a Neural Network", 2015, arXiv:1503.02531, sec. 3:
an ensemble's soft targets; You, Xu, Xu, Tao, "Learning from Multiple Teacher Networks", KDD 2017, eq. 4: the
mean of softened probabilities.

    p = sum over the teachers i of w_i * softmax(z_i / T)
    z = T * log p                                     so that softmax(z / T) = p: any loss at T hears p

Where we differ: the teachers may have other weights than 1 / n; the triplets of middle layers of the second
paper are left out. Methods that copy logits as they are hear the mean of logits.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from edgekd.data.dataset import DataInfo
from edgekd.teacher.export_teacher import SharingTeacherSpec, Teacher, TeacherSpec, load_teacher


class MeanTeacher(nn.Module):
    """Teachers of the same classes, heard as one.

    Args:
        teachers: Each maps images, uint8 (n, h, w, c), to logits (n, classes).
        shares: How much each counts, > 0; only their ratios matter.
        heard_at: T of the softened probabilities that are averaged; None averages logits.

    Example:
        >>> one, other = nn.Identity(), nn.Threshold(9.0, 0.0)  # of log 9 and 0: 0.9, 0.1; 0.5, 0.5
        >>> MeanTeacher([one, other], [1, 1], heard_at=1.0)(torch.tensor([[9.0, 1.0]]).log()).exp()
        tensor([[0.7000, 0.3000]])
    """

    def __init__(
        self, teachers: Sequence[nn.Module], shares: Sequence[float], *, heard_at: float | None
    ) -> None:
        super().__init__()
        self.teachers, self.heard_at = nn.ModuleList(teachers), heard_at
        self.register_buffer("shares", torch.tensor(shares) / sum(shares))

    shares: Tensor

    def forward(self, images: Tensor) -> Tensor:
        """Map images, uint8 (n, h, w, c), to logits (n, classes), float32."""
        logits = torch.stack([teacher(images).float() for teacher in self.teachers])
        shares = self.shares[:, None, None]
        if self.heard_at is None:
            return (shares * logits).sum(0)
        log_p = F.log_softmax(logits / self.heard_at, dim=2)
        return self.heard_at * torch.logsumexp(shares.log() + log_p, dim=0)


Heard = Teacher | tuple[Teacher, ...]
"""Who is heard: one teacher, or several as one."""

HeardSpec = TeacherSpec | tuple[SharingTeacherSpec, ...]
"""How they were made, in the same order."""


def load_heard(heard: Heard, specs: HeardSpec, info: DataInfo, *, heard_at: float | None) -> nn.Module:
    """Rebuild who is heard: uint8 NHWC images in, logits out.

    Args:
        heard: The artifacts.
        specs: Their specs.
        info: Images and classes.
        heard_at: As of `MeanTeacher`.
    """
    if isinstance(heard, Teacher):
        assert isinstance(specs, TeacherSpec)
        return load_teacher(heard, specs, info)
    assert isinstance(specs, tuple)
    networks = [load_teacher(teacher, spec, info) for teacher, spec in zip(heard, specs, strict=True)]
    return MeanTeacher(networks, [spec.share for spec in specs], heard_at=heard_at)
