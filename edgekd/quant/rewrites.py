"""Operations that have no integer kernel of their own, written as operations that have one.

Each rewrite is a function of the arguments of the operation that it stands for. Sizes of its inputs are plain
numbers, what it returns is traced like the network itself. One that returns ``NotImplemented`` declines: the
operation stays as it is, and placement says whether a rule speaks of it.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, fx

from edgekd.quant.rewriting.attention import ATTENTION
from edgekd.quant.rewriting.elementwise import ELEMENTWISE
from edgekd.quant.rewriting.layers import LAYERS
from edgekd.quant.rewriting.moves import MOVES
from edgekd.quant.rewriting.pools import POOLS
from edgekd.quant.rewriting.rewrite import Rewrite, flat

REWRITES: dict[Any, Rewrite] = {**ELEMENTWISE, **LAYERS, **POOLS, **MOVES, **ATTENTION}
"""By function, or by name of a method."""

_RESHAPES = ("view", "reshape", "flatten", torch.reshape, torch.flatten)
_LIKE = ("view_as", "reshape_as", "unflatten", torch.unflatten)


def is_reshape(target: Any, args: Sequence[Any]) -> bool:
    """Whether an operation is a reshape whose target shape depends on the batch."""
    if target in _LIKE:
        return True
    return target in _RESHAPES and any(isinstance(arg, fx.Proxy) for arg in flat(args[1:]))


def as_shape(first: Tensor, second: Tensor) -> tuple[int, ...]:
    """Return a shape for every batch size from those for two, with -1 where they differ."""
    return tuple(a if a == b else -1 for a, b in zip(first.shape, second.shape, strict=True))


def apply_to_rows(x: Any, layer: str, features: int) -> Any:
    """Call a linear layer on rows (n, features): that is QGemm, with an integer bias."""
    rows = x.reshape(-1, x.shape[-1])
    return x.tracer.create_proxy("call_module", layer, (rows,), {}).reshape(*x.shape[:-1], features)
