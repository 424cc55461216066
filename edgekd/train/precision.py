"""Which networks compute in bfloat16."""

from contextlib import AbstractContextManager

import torch
from torch import nn

from edgekd.quant.quantizer import Quantizer
from edgekd.train.options import TrainSpec


def computing(network: nn.Module, options: TrainSpec, device: torch.device) -> AbstractContextManager[None]:
    """Return the context of a forward pass: bfloat16 if asked for and nothing of ``network`` is quantized.

    bfloat16 keeps 8 bits of a number. The products of snapped values, a scale times a code of up to 8 bits,
    would be those of another grid than the engine's, so a quantized network stays in float32.
    """
    quantized = any(isinstance(module, Quantizer) for module in network.modules())
    bf16 = options.precision == "bf16" and not quantized
    context: AbstractContextManager[None] = torch.autocast(device.type, torch.bfloat16, enabled=bf16)
    return context
