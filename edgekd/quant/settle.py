"""Biases as an engine holds them: whole steps of the int32 accumulator.

A layer's accumulator counts in steps of ``x_scale * w_scale``, and so does its int32 bias. Where BatchNorm
has divided a nearly constant channel by next to nothing, one such step is many codes of the result. So the
student gets the biases that the engine will have: what is evaluated, reported and compared is one network.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, fx, nn
from torch.nn.utils import parametrize

from edgekd.quant.calibrated import CalibratedQuantizer
from edgekd.zoo.pixels import PixelGrid

CONSTANT_STEPS = 8
"""A channel that deviates by fewer steps of the accumulator says no more than its mean."""

COARSE_STEP = 0.2
"""Codes of the result per step of the accumulator, above which a rounded bias may choose another code."""

_EXACT = 2**24  # float32 holds whole numbers up to here


@dataclass(frozen=True)
class QuantizedLayer:
    """A quantized layer with what folds into it.

    Attributes:
        module: The convolution or linear layer.
        norm: The BatchNorm behind it, if any.
        shares_norm: Whether that is also behind others.
        x_scale: Of the quantizer of what it reads.
        w_scale: Of its weights, (channels,) float64.
        step: What one step of the accumulator is before BatchNorm, (channels,) float64.
        y_scale: Of the quantizer of the result; None where the result stays float.
    """

    module: nn.Module
    norm: nn.Module | None
    shares_norm: bool
    x_scale: float
    w_scale: Tensor
    step: Tensor
    y_scale: float | None


@torch.no_grad()
def settle_biases(student: fx.GraphModule) -> None:
    """Round the biases of a prepared network to whole steps of the accumulator, in place.

    A coarse channel that is constant gets gain 0: its output is what BatchNorm adds, to full precision.
    Idempotent. A module that is called at several places keeps its bias, which has one unit per place.

    Args:
        student: Deployed (:mod:`edgekd.quant.deploy`); BatchNorm's running statistics are those of
            evaluation.
    """
    for layer in quantized_layers(student):
        if layer.norm is None:
            _settle_bias(layer)
        elif not layer.shares_norm:
            _settle_norm(layer)


def quantized_layers(student: fx.GraphModule) -> Iterator[QuantizedLayer]:
    """Yield the layers of a deployed student that are called once, with the steps of their accumulators."""
    modules = dict(student.named_modules())
    calls = Counter(str(node.target) for node in student.graph.nodes if node.op == "call_module")
    for node in student.graph.nodes:
        module = _module(node, modules)
        if module is None or calls[str(node.target)] > 1 or not parametrize.is_parametrized(module, "weight"):
            continue
        layer = _layer(node, module, modules, calls)
        if layer is not None:
            yield layer


def _settle_bias(layer: QuantizedLayer) -> None:
    bias = layer.module.bias
    if isinstance(bias, Tensor):
        bias.copy_(_whole(bias.double(), layer.step))


def _settle_norm(layer: QuantizedLayer) -> None:
    norm, bias = layer.norm, layer.module.bias
    assert isinstance(norm, nn.BatchNorm1d | nn.BatchNorm2d)
    if norm.running_var is None or norm.running_mean is None:
        return
    variance = norm.running_var.double()
    factor = (norm.weight.double() if norm.affine else 1) / (variance + norm.eps).sqrt()
    if layer.y_scale is not None and norm.affine:
        coarse = layer.step * factor.abs() > COARSE_STEP * layer.y_scale
        constant = coarse & (variance.sqrt() < CONSTANT_STEPS * layer.step)
        factor[constant] = 0
        norm.weight[constant] = 0
    mean = norm.running_mean.double() - (bias.double() if isinstance(bias, Tensor) else 0)
    folded = (norm.bias.double() if norm.affine else 0) - mean * factor
    shift = _whole(folded, layer.step * factor.abs()) - folded
    if norm.affine:
        norm.bias.copy_(norm.bias.double() + shift)
    else:
        norm.running_mean.copy_(norm.running_mean.double() - shift / factor)


def _whole(bias: Tensor, step: Tensor) -> Tensor:
    """Round ``bias`` to multiples of ``step``, except where that is beyond its own precision."""
    steps = bias / step
    return torch.where((step > 0) & (steps.abs() < _EXACT), steps.round() * step, bias)


def _layer(
    node: fx.Node, module: nn.Module, modules: dict[str, nn.Module], calls: Counter[str]
) -> QuantizedLayer | None:
    quantizer = module.parametrizations["weight"][0]  # type: ignore[index]
    x_scale = _scale_before(node, modules)
    if not isinstance(quantizer, CalibratedQuantizer) or x_scale is None:
        return None
    user = next(iter(node.users)) if len(node.users) == 1 else None
    follower = _module(user, modules) if user is not None else None
    w_scale = quantizer.bounded(quantizer.scale).double()
    return QuantizedLayer(
        module=module,
        norm=follower if isinstance(follower, nn.BatchNorm1d | nn.BatchNorm2d) else None,
        shares_norm=user is not None and calls[str(user.target)] > 1,
        x_scale=x_scale,
        w_scale=w_scale,
        step=x_scale * w_scale,
        y_scale=_scale_behind(node, modules),
    )


def _scale_before(node: fx.Node, modules: dict[str, nn.Module]) -> float | None:
    """Return the scale of what ``node`` reads: operators in between run on its codes."""
    while node.all_input_nodes:
        node = node.all_input_nodes[0]
        module = _module(node, modules)
        if isinstance(module, CalibratedQuantizer):
            return float(module.bounded(module.scale))
        if isinstance(module, PixelGrid):
            return module.scale
    return None


def _scale_behind(node: fx.Node, modules: dict[str, nn.Module]) -> float | None:
    while len(node.users) == 1:
        node = next(iter(node.users))
        module = _module(node, modules)
        if isinstance(module, CalibratedQuantizer):
            return float(module.bounded(module.scale))
    return None


def _module(node: fx.Node, modules: dict[str, nn.Module]) -> nn.Module | None:
    return modules[str(node.target)] if node.op == "call_module" else None
