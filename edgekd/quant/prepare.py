"""The verb ``prepare``: a float network becomes a student with quantizers on weights and activations."""

import copy

import torch
from torch import Tensor, fx, nn

from edgekd.core.profile import PROFILES, ProfileName
from edgekd.errors import SchemeError
from edgekd.quant.placement import Placement
from edgekd.quant.scheme import QuantScheme
from edgekd.quant.simplify import simplify
from edgekd.quant.tracing import trace


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
        example: One batch of inputs; the network runs on it once to prove that it still works.
        profile: What the target's integer kernels can represent.
        scheme: Bits and kinds of quantizers; by default LSQ with 8 bits everywhere.

    Returns:
        The student, in train mode. Module paths and parameter names are those of ``model``, except that a
        quantized weight ``w`` is found as ``parametrizations.w.original``.

    Raises:
        ExportError: If the network cannot be traced.
        SchemeError: If no rule speaks of one of its operations, or the profile is unknown.
    """
    if profile not in PROFILES:
        what = f"unknown profile {profile!r}"
        raise SchemeError(what, where="edgekd.prepare", fix=f"one of: {', '.join(PROFILES)}")
    student = trace(copy.deepcopy(model), example)
    simplify(student)
    Placement(student, PROFILES[profile], scheme or QuantScheme()).place()
    student.meta["profile"] = profile
    student.eval()
    with torch.no_grad():
        student(example)
    return student.train()
