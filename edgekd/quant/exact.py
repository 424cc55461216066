"""A deployed student evaluated with the sums of an engine: exact ones.

What float32 rounds away in a sum sends a few numbers of an image to the other one of two codes, and from
there on a deep network computes something else. So the sums of quantized layers run on the codes themselves,
whole numbers that float32 adds exactly up to 2 ** 24, and everything else runs in float64. What then is left
between student and engine is what the engine rounds.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, fx, nn

from edgekd.quant.fake_quant import fake_quant
from edgekd.quant.placement import weight_quantizers
from edgekd.quant.quantizer import Quantizer
from edgekd.quant.settle import QuantizedLayer, quantized_layers
from edgekd.zoo.pixels import PixelGrid


@torch.no_grad()
def sum_exactly(student: fx.GraphModule) -> None:
    """Make a student compute as above, in place; from then on it can only be evaluated.

    Args:
        student: Deployed (:mod:`edgekd.quant.deploy`), with settled biases.
    """
    layers = list(quantized_layers(student))
    for module, quantizer in weight_quantizers(student).values():
        weights: Any = module.parametrizations["weight"]  # type: ignore[index]
        weights[0] = _Snap(quantizer)
    activations: Any = student.get_submodule("quantizers")
    for name, quantizer in activations.items():
        activations[name] = _Snap(quantizer)
    for module in student.modules():
        if isinstance(module, PixelGrid):
            module.register_forward_hook(_place)
    student.double().eval()
    for layer in layers:
        _sum_codes(layer)


class _Snap(nn.Module):
    """What a quantizer does, in float64."""

    scale: Tensor

    def __init__(self, quantizer: Quantizer) -> None:
        super().__init__()
        self.grid, self.axis = quantizer.grid, quantizer.axis
        self.register_buffer("scale", quantizer.scale_for(quantizer.smallest_scale))

    def forward(self, x: Tensor) -> Tensor:
        return fake_quant(x, self.scale, self.grid, axis=self.axis)


class _Codes(nn.Module):
    """The codes of a weight in its place, in float32."""

    codes: Tensor

    def __init__(self, codes: Tensor) -> None:
        super().__init__()
        self.register_buffer("codes", codes)

    def forward(self, x: Tensor) -> Tensor:
        return self.codes


def _place(grid: PixelGrid, args: tuple[Tensor], _: object) -> Tensor:
    return (args[0].permute(0, 3, 1, 2).double() - grid.zero_point) * grid.scale


def _sum_codes(layer: QuantizedLayer) -> None:
    module: Any = layer.module
    codes = module.weight / _per_channel(layer.w_scale, module.weight.dim())
    bias, module.bias = module.bias, None
    module.parametrizations["weight"][0] = _Codes(codes.round().float())
    module.register_forward_pre_hook(_codes_of(layer.x_scale))
    module.register_forward_hook(_values_of(layer.step, bias))


def _codes_of(x_scale: float) -> Callable[..., Tensor]:
    return lambda _, args: (args[0] / x_scale).float()


def _values_of(step: Tensor, bias: Tensor | None) -> Callable[..., Tensor]:
    def values(_: nn.Module, args: object, sums: Tensor) -> Tensor:
        shape = (1, -1, *[1] * (sums.dim() - 2))
        result = sums.double() * step.reshape(shape)
        return result if bias is None else result + bias.reshape(shape)

    return values


def _per_channel(values: Tensor, dims: int) -> Tensor:
    return values.reshape(-1, *[1] * (dims - 1))
