"""The mean of each channel, written so that its export does not depend on how a tensor lies in memory."""

from torch import Tensor, nn


def global_average(x: Tensor) -> Tensor:
    """Map (n, c, ...) to (n, c, 1, ...)."""
    return x.mean(tuple(range(2, x.dim())), keepdim=True)


class GlobalAverage(nn.Module):
    """:func:`global_average` in the place of an adaptive pool."""

    def forward(self, x: Tensor) -> Tensor:
        """Map (n, c, ...) to (n, c, 1, ...)."""
        return global_average(x)
