"""What was trained, as integer grids alone: behind this, nothing needs to know a kind of quantizer."""

from typing import Any

import torch
from torch import Tensor, fx, nn

from edgekd.errors import SchemeError
from edgekd.quant.calibrated import CalibratedQuantizer
from edgekd.quant.placement import weight_quantizers
from edgekd.quant.quantizer import Quantizer


@torch.no_grad()
def deploy(student: fx.GraphModule) -> None:
    """Replace every quantizer of a prepared network by its grid and scale, in place, and snap the weights.

    Every quantized tensor keeps its value bit by bit: what the network gives in eval mode, in which it is
    left, does not change. Idempotent.

    Args:
        student: Calibrated, or trained.

    Raises:
        SchemeError: If the values of a quantizer lie on no integer grid.
    """
    student.eval()
    trained = []
    for layer, quantizer in weight_quantizers(student).values():
        weights: Any = layer.parametrizations["weight"]  # type: ignore[index]
        trained.append((weights, quantizer(weights.original), _plain(quantizer, weights.original)))
    for weights, snapped, plain in trained:
        weights.original = nn.Parameter(snapped)  # layers that share a weight have a grid each
        weights[0] = plain
    activations: Any = student.get_submodule("quantizers")
    for name, quantizer in activations.items():
        activations[name] = _plain(quantizer, quantizer.smallest_scale)  # any tensor has its scale now


def _plain(quantizer: Quantizer, x: Tensor) -> CalibratedQuantizer:
    if quantizer.refusal:
        what, _, fix = quantizer.refusal.partition(": ")
        raise SchemeError(what, where=quantizer.mark, fix=fix)
    scale = quantizer.scale_for(x)
    channels = 1 if quantizer.axis is None else len(scale)
    plain = CalibratedQuantizer(quantizer.grid, axis=quantizer.axis, mark=quantizer.mark, channels=channels)
    plain.largest_scale = quantizer.largest_scale
    plain.to(scale.device).set_scale(scale)
    return plain.eval()
