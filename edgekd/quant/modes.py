"""Train and eval mode in a traced graph: what a forward pass does with ``self.training``."""

from collections.abc import Callable
from typing import Any

from torch import Tensor, nn
from torch.fx.node import map_aggregate

from edgekd.quant.operators import IN_EVAL


class Mode(int):
    """What ``self.training`` is while tracing: false, and recognized where it is handed on."""


class FollowsMode(nn.Module):
    """A function that takes ``training``, such as dropout: active in train mode, nothing in eval mode."""

    def __init__(self, function: Callable[..., Any], args: Any, kwargs: Any) -> None:
        super().__init__()
        self.function, self.args, self.kwargs = function, args, kwargs
        setattr(self, IN_EVAL, True)

    def forward(self, x: Tensor) -> Tensor:
        """Call the function in the mode of this module."""

        def follow(value: Any) -> Any:
            return self.training if isinstance(value, Mode) else value

        result: Tensor = self.function(
            x, *map_aggregate(self.args, follow), **map_aggregate(self.kwargs, follow)
        )
        return result
