"""Training losses of the tasks."""

import torch.nn.functional as F
from torch import Tensor

from edgekd.errors import TrainError
from edgekd.tasks.classification import ClassificationSpec, TaskSpec


def task_loss(task: TaskSpec, logits: Tensor, labels: Tensor) -> Tensor:
    """Return the loss of a batch against its labels, averaged over the batch.

    Args:
        task: Classification: cross entropy with the task's label smoothing.
        logits: Shape (n, classes).
        labels: Class indices, int64, shape (n,).

    Returns:
        A scalar.

    Raises:
        TrainError: If the task has no training loss.
    """
    if isinstance(task, ClassificationSpec):
        return F.cross_entropy(logits, labels, label_smoothing=task.label_smoothing)
    what = f"task '{task.kind}' has no training loss"
    raise TrainError(what, where="task.kind", fix="use 'classification'")
