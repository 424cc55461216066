"""What a network costs on paper: parameters and multiply-accumulates. Time is measured, not counted."""

import copy
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

    Args:
        body: Maps float images (n, channels, height, width) to outputs; left untouched.
        channels: Channels of the image.
        height: Height of the image in pixels.
        width: Width of the image in pixels.

    Example:
        >>> count_macs(nn.Conv2d(3, 8, 3, padding=1), channels=3, height=32, width=32)  # 32*32 * 8 * 3*3*3
        221184
    """
    macs = 0

    def add(layer: nn.Module, _inputs: Any, output: Tensor) -> None:
        nonlocal macs
        assert isinstance(layer, nn.Conv2d | nn.Linear)
        macs += output.numel() * layer.weight[0].numel()

    probe = copy.deepcopy(body).cpu().eval()
    for layer in probe.modules():
        if isinstance(layer, nn.Conv2d | nn.Linear):
            layer.register_forward_hook(add)
    with torch.no_grad():
        probe(torch.zeros(1, channels, height, width))
    return macs
