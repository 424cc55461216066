"""What a network costs on paper: parameters and multiply-accumulates. Time is measured, not counted."""

import copy
from collections import Counter
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn


def count_params(module: nn.Module) -> int:
    """Count the parameters; buffers such as running means are not among them.

    Example:
        >>> count_params(nn.Linear(3, 2))
        8
    """
    return sum(parameter.numel() for parameter in module.parameters())


def count_macs(body: nn.Module, *, channels: int, height: int, width: int) -> int:
    """Count the multiply-accumulates of all convolutions and linear layers for one image.

    Arguments as for `macs_by_layer`.

    Example:
        >>> count_macs(nn.Conv2d(3, 8, 3, padding=1), channels=3, height=32, width=32)  # 32*32 * 8 * 3*3*3
        221184
    """
    return sum(macs_by_layer(body, channels=channels, height=height, width=width).values())


def macs_by_layer(body: nn.Module, *, channels: int, height: int, width: int) -> dict[str, int]:
    """Count the multiply-accumulates of each convolution and linear layer for one image, by its name.

    Args:
        body: Maps float images (n, channels, height, width) to outputs; left untouched.
        channels: Channels of the image.
        height: Height of the image in pixels.
        width: Width of the image in pixels.
    """
    macs: Counter[str] = Counter()

    def add(name: str, layer: nn.Module, _inputs: Any, output: Tensor) -> None:
        assert isinstance(layer, nn.Conv2d | nn.Linear)
        macs[name] += output.numel() * layer.weight[0].numel()

    probe = copy.deepcopy(body).cpu().eval()
    for name, layer in probe.named_modules():
        if isinstance(layer, nn.Conv2d | nn.Linear):
            layer.register_forward_hook(partial(add, name))
    with torch.no_grad():
        probe(torch.zeros(1, channels, height, width))
    return dict(macs)
