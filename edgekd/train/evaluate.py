"""A network's outputs on a whole split."""

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from edgekd.data.dataset import DataSpec, Split
from edgekd.tasks.classification import TaskSpec

BATCH_SIZE = 256


@torch.no_grad()
def predict(network: nn.Module, split: Split) -> NDArray[np.float32]:
    """Return the outputs of ``network``, in eval mode, for a whole split: (n, outputs), float32."""
    was_training = network.training
    network.eval()
    device = next(network.parameters()).device
    starts = range(0, len(split), BATCH_SIZE)
    chunks = [
        network(torch.tensor(split.images[i : i + BATCH_SIZE]).to(device)).float().cpu() for i in starts
    ]
    network.train(was_training)
    return np.asarray(torch.cat(chunks).numpy())


def validation_metric(data: DataSpec, task: TaskSpec) -> Callable[[nn.Module], float | None]:
    """Return what an epoch reports: the metric on the validation split, or None where there is none."""
    validation = data.split("validation")

    def metric(network: nn.Module) -> float | None:
        return task.measure(predict(network, validation), validation.labels) if len(validation) else None

    return metric
