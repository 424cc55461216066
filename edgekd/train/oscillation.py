"""Weights that oscillate between two codes are frozen, so that BatchNorm's statistics mean something.

Paper: Nagel, Fournarakis, Bondarenko, Blankevoort, "Overcoming Oscillations in Quantization-Aware Training",
ICML 2022, arXiv:2203.11086, sec. 4.2 and algorithm 1. With w_int the codes of a weight at step t:

    o = the code changed, in the direction opposite to its last change                          (eq. 6)
    f = m * o + (1 - m) * f,   w_ema = m * w_int + (1 - m) * w_ema                              (eq. 7)
    f > threshold: the code is round(w_ema) from now on; the threshold falls as a cosine

Where we differ: a frozen weight is written back as code * scale after every step, so that the student is an
ordinary one and its scales go on learning; every quantized weight is watched, not only those of depthwise
layers.
"""

import math

import torch
from torch import Tensor, nn

from edgekd.quant.placement import float_weight, weight_quantizers
from edgekd.quant.quantizer import Quantizer
from edgekd.train.options import FreezingSpec


class _WatchedWeight(nn.Module):
    """One layer's weights: how often each changed its direction, and which are frozen."""

    code: Tensor
    direction: Tensor
    frequency: Tensor
    average: Tensor
    frozen: Tensor

    def __init__(self, weight: Tensor, quantizer: Quantizer) -> None:
        super().__init__()
        self._watched = (weight, quantizer)  # a tuple: the student owns them
        code = self._codes()
        self.register_buffer("code", code)
        self.register_buffer("direction", torch.zeros_like(code))
        self.register_buffer("frequency", torch.zeros_like(code))
        self.register_buffer("average", code.clone())
        self.register_buffer("frozen", torch.zeros_like(code, dtype=torch.bool))

    def step(self, momentum: float, threshold: float) -> None:
        code = self._codes()
        change = torch.sign(code - self.code)
        self.frequency.lerp_((change * self.direction < 0).to(code.dtype), momentum)
        self.average.lerp_(code, momentum)
        self.direction.copy_(torch.where(change == 0, self.direction, change))
        settled = torch.where(self.frozen, self.code, torch.round(self.average))
        self.frozen.logical_or_(self.frequency > threshold)
        self.code.copy_(torch.where(self.frozen, settled, code))
        weight, _ = self._watched
        weight.copy_(torch.where(self.frozen, self.code * self._scale(), weight))

    @torch.no_grad()
    def _codes(self) -> Tensor:
        weight, quantizer = self._watched
        return torch.clamp(torch.round(weight / self._scale()), quantizer.grid.qmin, quantizer.grid.qmax)

    @torch.no_grad()
    def _scale(self) -> Tensor:
        weight, quantizer = self._watched
        return quantizer.per_channel(quantizer.scale_for(weight), weight)


class OscillationFreezer(nn.Module):
    """Watches every quantized weight of a student; its state is part of the checkpoint."""

    def __init__(self, student: nn.Module, spec: FreezingSpec) -> None:
        super().__init__()
        self.spec = spec
        self.watched = nn.ModuleList()
        for layer, quantizer in weight_quantizers(student).values():
            self.watched.append(_WatchedWeight(float_weight(layer), quantizer))

    @torch.no_grad()
    def step(self, done: float) -> None:
        """Look at the weights after a step of the optimizer, and freeze.

        Args:
            done: How much of the schedule is done, 0..1.
        """
        falling = 0.5 * (1.0 + math.cos(math.pi * done))
        threshold = self.spec.end + (self.spec.begin - self.spec.end) * falling
        for weight in self.watched:
            assert isinstance(weight, _WatchedWeight)
            weight.step(self.spec.momentum, threshold)
