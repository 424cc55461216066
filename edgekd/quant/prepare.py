"""The verb ``prepare``: a float network becomes a student with quantizers on weights and activations."""

import copy

import torch
from torch import Tensor, fx, nn

from edgekd.core.profile import PROFILES, ProfileName
from edgekd.errors import ExportError, SchemeError
from edgekd.quant.placement import Placement
from edgekd.quant.scheme import QuantScheme
from edgekd.quant.simplify import simplify
from edgekd.quant.tracing import trace
from edgekd.quant.user_line import line_of

PROVED_ON = 5
"""Inputs that the traced network is compared on: a batch of another size than those that it is traced for."""

_ROUNDING = 1e-3
"""Of the largest output: far above what rewriting changes in float32, far below what a mistake does."""


def prepare(
    model: nn.Module,
    example: Tensor,
    profile: ProfileName = "ort",
    *,
    scheme: QuantScheme | None = None,
) -> fx.GraphModule:
    """Return a copy of ``model`` that trains with fake quantization under ``profile``.

    Train it like any module; call :func:`edgekd.calibrate` first, so that the scales start from real data.

    Args:
        model: Any network that torch.fx can trace. With an :class:`edgekd.zoo.pixels.ImageNetwork` around
            it, the engine takes raw uint8 NHWC images.
        example: One batch of inputs; the network runs on some of it to prove that it still works.
        profile: What the target's integer kernels can represent.
        scheme: Bits and kinds of quantizers; by default LSQ with 8 bits everywhere.

    Returns:
        The student, in train mode. Module paths and parameter names are those of ``model``, except that a
        quantized weight ``w`` is found as ``parametrizations.w.original``.

    Raises:
        ExportError: If the network cannot run or be traced, or is another network then.
        SchemeError: If no rule speaks of one of its operations, or the profile is unknown.
    """
    if profile not in PROFILES:
        what = f"unknown profile {profile!r}"
        raise SchemeError(what, where="edgekd.prepare", fix=f"one of: {', '.join(PROFILES)}")
    _must_own_weights(model)
    reference = copy.deepcopy(model).eval()
    images = _telling(example)
    try:
        expected = _outputs(reference, images)
    except Exception as e:  # whatever the user's forward does
        what = f"the network cannot run on {PROVED_ON} inputs like the example: {type(e).__name__}: {e}"
        raise ExportError(what, where=line_of(e), fix="make it take any number of such inputs at once") from e
    if not _agree(_outputs(reference, images), expected):
        what = "the network gives different results for the same inputs in eval mode"
        fix = "switch what is random off in eval mode, as F.dropout(x, p, training=self.training) does"
        raise ExportError(what, where=type(model).__name__, fix=fix)
    student = trace(reference, example)
    simplify(student)
    if not _agree(_outputs(student.eval(), images), expected):
        what = "the traced network computes other numbers than the network itself"
        fix = "write to no tensor that is read elsewhere: y = x.view(...); y += 1 also changes x"
        raise ExportError(what, where=type(model).__name__, fix=fix)
    Placement(student, PROFILES[profile], scheme or QuantScheme()).place()
    student.meta["profile"] = profile
    student.eval()
    with torch.no_grad():
        student(example)
    return student.train()


def _must_own_weights(model: nn.Module) -> None:
    for path, module in model.named_modules():
        if isinstance(vars(module).get("weight"), Tensor):  # a parameter would not be an attribute
            what = "the weights of a layer are computed by a hook, as by pruning or the older weight_norm"
            fix = "make them plain first: torch.nn.utils.remove_weight_norm, torch.nn.utils.prune.remove"
            raise ExportError(what, where=path or type(model).__name__, fix=fix)


def _telling(example: Tensor) -> Tensor:
    """Return some inputs like ``example``, drawn at random where all its numbers are the same."""
    if example.min() != example.max():
        return example[torch.arange(PROVED_ON) % len(example)]
    generator = torch.Generator().manual_seed(0)
    shape = (PROVED_ON, *example.shape[1:])
    if example.is_floating_point():
        return torch.randn(shape, generator=generator).to(example)
    return torch.randint(0, 256, shape, generator=generator).to(example)


@torch.no_grad()
def _outputs(network: nn.Module, images: Tensor) -> tuple[Tensor, ...]:
    outputs = network(images)
    return (outputs,) if isinstance(outputs, Tensor) else tuple(outputs)


def _agree(found: tuple[Tensor, ...], expected: tuple[Tensor, ...]) -> bool:
    """Whether outputs are the same but for the rounding of float32; NaN, of broken weights, is NaN."""
    return len(found) == len(expected) and all(
        a.shape == b.shape and torch.allclose(a, b, rtol=0, atol=_rounding(b), equal_nan=True)
        for a, b in zip(found, expected, strict=True)
    )


def _rounding(outputs: Tensor) -> float:
    finite = torch.nan_to_num(outputs, nan=0.0, posinf=0.0, neginf=0.0)
    return _ROUNDING * float(finite.abs().max()) + 1e-7
