"""The verb ``calibrate``: scales from data, without training.

A kind of quantizer may start from the weight itself and leave what is found for it here: ``Quantizer.start``.
Methods, all for symmetric or one-sided grids and one scale per tensor (activations) or channel (weights):

    minmax      the grid ends at the largest value seen
    percentile  the grid ends at the 99.99th percentile of the magnitudes (activations; weights as minmax)
    mse         the scale with the least mean squared error among 80 shrinkings of minmax
                (Banner et al. 2019, arXiv:1810.05723, search instead of their closed form)
"""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Literal, get_args

import torch
from torch import Tensor, fx, nn

from edgekd.core.grid import IntGrid
from edgekd.errors import DataError
from edgekd.quant.calibrated import CalibratedQuantizer
from edgekd.quant.placement import activation_quantizers, float_weight, weight_quantizers
from edgekd.quant.quantizer import Quantizer
from edgekd.quant.ttq import TtqQuantizer

CalibrationMethod = Literal["minmax", "percentile", "mse"]
CALIBRATION_METHODS: tuple[CalibrationMethod, ...] = get_args(CalibrationMethod)

_PERCENTILE = 0.9999
_SHRINKINGS = 80
_VALUES_PER_BATCH = 8192
_WHERE = "edgekd.calibrate"


class _Observed:
    """What one activation quantizer saw: the extremes exactly, the distribution by a sample."""

    def __init__(self) -> None:
        self.low = 0.0
        self.high = 0.0
        self.sample: list[Tensor] = []

    def add(self, x: Tensor, generator: torch.Generator, *, mark: str) -> None:
        flat = x.detach().flatten().float().cpu()
        if not len(flat):
            return
        if not flat.isfinite().all():
            what = f"numbers that are not finite reach the quantizer {mark!r}"
            raise DataError(what, where=_WHERE, fix="look for NaN and infinity in the inputs and the weights")
        self.low = min(self.low, float(flat.min()))
        self.high = max(self.high, float(flat.max()))
        chosen = torch.randint(len(flat), (min(_VALUES_PER_BATCH, len(flat)),), generator=generator)
        self.sample.append(flat[chosen])


@torch.no_grad()
def calibrate(student: fx.GraphModule, batches: Iterable[Tensor], method: CalibrationMethod = "mse") -> None:
    """Set every scale of a prepared network, in place, from inputs that run through it in float.

    Args:
        student: What :func:`edgekd.prepare` returned.
        batches: Batches of inputs; a few hundred samples in all.
        method: How the range of a tensor is chosen.

    Raises:
        DataError: If there is no input, or a weight or something computed from the inputs is not finite.
    """
    weights = {mark: _finite_weight(layer, mark) for mark, (layer, _) in weight_quantizers(student).items()}
    observed = _observe(student, batches)
    for mark, (_, quantizer) in weight_quantizers(student).items():
        quantizer.start(weights[mark], _weight_scale(weights[mark], quantizer.grid, method))
    for mark, quantizer in activation_quantizers(student).items():
        quantizer.set_scale(_activation_scale(observed[mark], quantizer.grid, method))


def held_at_zero(student: nn.Module) -> list[str]:
    """Return the marks of layers that are zero all over and that no training can change.

    The width of their grids is what calibration found, which is nothing, and does not learn.
    """
    return [
        mark
        for mark, (layer, quantizer) in weight_quantizers(student).items()
        if isinstance(quantizer, CalibratedQuantizer | TtqQuantizer) and not float_weight(layer).any()
    ]


def _finite_weight(layer: nn.Module, mark: str) -> Tensor:
    weight = float_weight(layer)
    if not weight.isfinite().all():
        what = f"{mark} holds numbers that are not finite"
        raise DataError(what, where=_WHERE, fix="train with a lower learning rate, or load other weights")
    return weight


@contextmanager
def unquantized(
    student: nn.Module, seen: Callable[[Quantizer, Tensor], None] = lambda quantizer, x: None
) -> Iterator[None]:
    """Run a prepared network in float: quantizers pass on what they read.

    Args:
        student: What :func:`edgekd.prepare` returned.
        seen: Is told what each quantizer reads.
    """

    def pass_on(quantizer: Quantizer, args: tuple[Tensor], output: Tensor) -> Tensor:
        seen(quantizer, args[0])
        return args[0]

    hooks = [m.register_forward_hook(pass_on) for m in student.modules() if isinstance(m, Quantizer)]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


def _observe(student: fx.GraphModule, batches: Iterable[Tensor]) -> dict[str, _Observed]:
    seen = {mark: _Observed() for mark in activation_quantizers(student)}
    generator = torch.Generator().manual_seed(0)

    def observe(quantizer: Quantizer, x: Tensor) -> None:
        if quantizer.axis is None:
            seen[quantizer.mark].add(x, generator, mark=quantizer.mark)

    was_training, rows = student.training, 0
    student.eval()
    try:
        with unquantized(student, observe):
            for batch in batches:
                rows += len(batch)
                student(batch)
    finally:
        student.train(was_training)
    if not rows:
        what = "there is no input to calibrate on"
        raise DataError(what, where=_WHERE, fix="pass at least one batch; an iterator is empty after one use")
    return seen


def _weight_scale(weight: Tensor, grid: IntGrid, method: CalibrationMethod) -> Tensor:
    flat = weight.flatten(1)
    widest = flat.abs().amax(1) / grid.qmax
    return _least_squares_scale(flat, widest, grid) if method == "mse" else widest


def _activation_scale(seen: _Observed, grid: IntGrid, method: CalibrationMethod) -> Tensor:
    widest = max(seen.high / grid.qmax, seen.low / grid.qmin if grid.qmin else 0.0)
    sample = torch.cat(seen.sample)
    if method == "percentile":
        high = float(torch.quantile(sample.abs()[-(1 << 23) :], _PERCENTILE))
        return torch.tensor(min(widest, high / grid.qmax))
    if method == "mse":
        return _least_squares_scale(sample[None], torch.tensor([widest]), grid)[0]
    return torch.tensor(widest)


def _least_squares_scale(rows: Tensor, widest: Tensor, grid: IntGrid) -> Tensor:
    """Return per row of ``rows`` (r, n) the scale with the least squared error, shape (r,)."""
    best_scale = widest.clone()
    best_error = torch.full_like(widest, torch.inf)
    for step in range(_SHRINKINGS):
        scale = (widest * (1.0 - step / (_SHRINKINGS + 1.0))).clamp(min=1e-12)[:, None]
        codes = torch.clamp(torch.round(rows / scale), grid.qmin, grid.qmax)
        error = (codes * scale - rows).square().sum(1)
        better = error < best_error
        best_error = torch.where(better, error, best_error)
        best_scale = torch.where(better, scale[:, 0], best_scale)
    return best_scale
