"""An average over the weights of all steps, which is what is kept.

Source: Polyak & Juditsky 1992, Acceleration of Stochastic Approximation by Averaging; with exponential
weights: Tarvainen & Valpola 2017, arXiv:1703.01780, eq. 1. The average starts at the first step's weights.
BatchNorm's running statistics and quantizers' scales are averaged with the weights.
"""

from torch import nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn


def weight_average(network: nn.Module, decay: float) -> AveragedModel:
    """Return the average of ``network``; call its ``update_parameters(network)`` after every step.

    Args:
        network: Its averaged copy is ``.module``.
        decay: Weight of the past, 0..1.
    """
    follow = get_ema_multi_avg_fn(decay)  # type: ignore[no-untyped-call]
    return AveragedModel(network, multi_avg_fn=follow, use_buffers=True)
