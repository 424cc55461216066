"""Training losses of the tasks."""

import torch.nn.functional as F
from torch import Tensor

from edgekd.errors import TrainError
from edgekd.tasks.classification import ClassificationSpec, TaskSpec
from edgekd.tasks.python import PythonTaskSpec


def task_loss(task: TaskSpec, logits: Tensor, labels: Tensor) -> Tensor:
    """Return the loss of a batch against its labels, averaged over the batch.

    Args:
        task: Classification: cross entropy with the task's label smoothing; or a function of the user's.
        logits: Shape (n, classes or outputs).
        labels: Class indices, int64, shape (n,), or float32 (n, outputs).

    Returns:
        A scalar.

    Raises:
        TrainError: If the task has no training loss, or the user's function returns something else.
    """
    if isinstance(task, PythonTaskSpec):
        return _loss_of_the_user(task, logits, labels)
    if isinstance(task, ClassificationSpec):
        return F.cross_entropy(logits, labels, label_smoothing=task.label_smoothing)
    what = f"task '{task.kind}' has no training loss"
    raise TrainError(what, where="task.kind", fix="use 'classification' or 'python'")


def _loss_of_the_user(task: PythonTaskSpec, logits: Tensor, labels: Tensor) -> Tensor:
    loss = task.loss.call(outputs=logits, labels=labels)
    if not isinstance(loss, Tensor) or loss.dim() != 0 or not loss.requires_grad:
        found = f"a tensor of shape {tuple(loss.shape)}" if isinstance(loss, Tensor) else type(loss).__name__
        what = f"{task.loss.function} returns {found}, not a scalar tensor that depends on the outputs"
        raise TrainError(
            what, where=task.loss.file, fix="return for example ((outputs - labels) ** 2).mean()"
        )
    return loss
