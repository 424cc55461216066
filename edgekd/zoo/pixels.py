"""From uint8 pixels to what a network's first layer sees.

A teacher normalizes each channel with its own mean and deviation. A student has one scale and one integer
zero point for all channels, so that its input needs no rounding: the pixels already are the integer codes.
`fold_normalization` makes a body trained behind the first kind fit the second.
"""

from collections import Counter
from collections.abc import Sequence
from statistics import fmean
from typing import Self

import numpy as np
import torch
from torch import Tensor, nn

from edgekd.errors import ExportError, SpecError


class NormalizePixels(nn.Module):
    """Map uint8 images (n, h, w, c) to float32 (n, c, h, w), ``(x / 255 - mean) / std`` per channel.

    Args:
        mean: One per channel, as a fraction of 255.
        std: One per channel, as a fraction of 255.

    Raises:
        SpecError: If they are not such fractions.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, mean: Sequence[float], std: Sequence[float]) -> None:
        super().__init__()
        _check_statistics(mean, std)
        self.register_buffer("mean", torch.tensor(mean).reshape(-1, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(std).reshape(-1, 1, 1), persistent=False)

    def forward(self, images: Tensor) -> Tensor:
        """Normalize a batch of images."""
        return (images.permute(0, 3, 1, 2).float() / 255 - self.mean) / self.std


class PixelGrid(nn.Module):
    """Map uint8 images (n, h, w, c) to float32 (n, c, h, w), ``(x - zero_point) * scale``.

    Attributes:
        scale: Units of the result per pixel step; a float32 value, so that no runtime rounds it.
        zero_point: The pixel value that becomes 0, in 0..255; what a convolution's zero padding means.
    """

    def __init__(self, scale: float, zero_point: int) -> None:
        super().__init__()
        self.scale = float(np.float32(scale))
        self.zero_point = zero_point

    @classmethod
    def like(cls, mean: Sequence[float] = (0.5,), std: Sequence[float] = (0.25,)) -> Self:
        """Return the grid nearest to a per-channel normalization, whose channels it averages.

        Example:
            >>> PixelGrid.like((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)).zero_point
            114
        """
        _check_statistics(mean, std)
        return cls(1 / (255 * fmean(std)), round(255 * fmean(mean)))

    def forward(self, images: Tensor) -> Tensor:
        """Place a batch of images on the grid."""
        return (images.permute(0, 3, 1, 2).float() - self.zero_point) * self.scale


class ImageNetwork(nn.Module):
    """A network that takes raw uint8 images (n, h, w, c): its own preprocessing, then its body."""

    def __init__(self, pixels: nn.Module, body: nn.Module) -> None:
        super().__init__()
        self.pixels = pixels
        self.body = body

    def forward(self, images: Tensor) -> Tensor:
        """Map raw images to the body's outputs."""
        outputs: Tensor = self.body(self.pixels(images))
        return outputs


@torch.no_grad()
def fold_normalization(
    body: nn.Module, *, mean: Sequence[float], std: Sequence[float], grid: PixelGrid, size: tuple[int, int]
) -> None:
    """Rewrite a body's first convolution, so that it takes ``grid`` instead of `NormalizePixels`.

    With ``g`` the grid's output, the normalized image is ``gain * g + offset`` per channel, where
    ``gain = 1 / (255 * scale * std)`` and ``offset = (zero_point / 255 - mean) / std``. The weights absorb
    the gain. What the offset adds to the convolution's output is taken off the running mean of the BatchNorm
    behind it, or added to its bias. Exact except where the convolution pads with zeros: they now mean the
    pixel ``zero_point`` instead of ``255 * mean``.

    Args:
        body: Changed in place. Its image goes into one nn.Conv2d only.
        mean: What the body was trained with, one per channel.
        std: What the body was trained with, one per channel.
        grid: What the body shall take instead.
        size: Height and width of its images.

    Raises:
        ExportError: If its first layer is no such convolution.
        SpecError: If ``mean`` or ``std`` are not fractions of 255.
    """
    _check_statistics(mean, std)
    conv, norm = _first_convolution(body, len(mean), size)
    if conv.groups != 1 or conv.in_channels != len(mean):
        found = f"{conv.in_channels} channels in {conv.groups} groups"
        what = f"the first convolution takes {found}, not {len(mean)} channels in 1 group"
        raise ExportError(what, where=type(body).__name__, fix="give one mean and one std per image channel")
    if not isinstance(conv.weight, nn.Parameter):
        what = "the weights of the first convolution are computed, by weight normalization for example"
        fix = "give the network with plain weights: torch.nn.utils.parametrize.remove_parametrizations"
        raise ExportError(what, where=type(body).__name__, fix=fix)
    means, deviations = torch.tensor(mean, dtype=torch.float64), torch.tensor(std, dtype=torch.float64)
    gain = 1 / (255 * grid.scale * deviations)
    offset = (grid.zero_point / 255 - means) / deviations
    weight = conv.weight.double()
    shift = torch.einsum("oihw,i->o", weight, offset.to(weight.device))
    conv.weight.copy_(weight * gain.to(weight.device)[:, None, None])
    if norm is not None and norm.running_mean is not None:
        norm.running_mean.copy_(norm.running_mean.double() - shift)
    elif conv.bias is not None:
        conv.bias.copy_(conv.bias.double() + shift)
    else:
        conv.bias = nn.Parameter(shift.to(conv.weight.dtype))


def _first_convolution(
    body: nn.Module, channels: int, size: tuple[int, int]
) -> tuple[nn.Conv2d, nn.BatchNorm2d | None]:
    """Find the convolution that takes the image, and the BatchNorm that alone takes its output, if any.

    The body runs once. What takes the image hands on a copy without history, and so does the BatchNorm: if
    the result still has a gradient towards what they took, something else took it too.
    """
    with torch.enable_grad():
        image = torch.zeros((2, channels, *size), requires_grad=True) + 0  # no leaf: it may be overwritten
    seen = _Seen(image)
    hooks = [layer.register_forward_hook(seen) for layer in body.modules() if isinstance(layer, _WATCHED)]
    was_training = body.training
    try:
        with torch.enable_grad():
            outputs = body.eval()(image)
    except Exception as e:  # whatever the user's forward does
        what = f"{type(body).__name__} cannot take images {tuple(image.shape)}: {e}"
        raise ExportError(what, fix="give a network that maps (n, channels, height, width) to outputs") from e
    finally:
        body.train(was_training)
        for hook in hooks:
            hook.remove()
    conv = seen.conv
    if conv is None or seen.calls[conv] != 1 or _reaches(outputs, image):
        what = "the image does not go into one nn.Conv2d only"
        raise ExportError(
            what, where=type(body).__name__, fix="train it behind the pixel grid instead of folding"
        )
    alone = seen.norm is not None and seen.calls[seen.norm] == 1 and not _reaches(outputs, seen.planes)
    return conv, seen.norm if alone else None


class _Seen:
    """What happens to the image: a hook of every convolution and BatchNorm."""

    def __init__(self, image: Tensor) -> None:
        self.image = image
        self.planes = image
        self.conv: nn.Conv2d | None = None
        self.norm: nn.BatchNorm2d | None = None
        self.calls: Counter[nn.Module] = Counter()

    def __call__(self, layer: nn.Module, args: tuple[Tensor, ...], output: Tensor) -> Tensor:
        self.calls[layer] += 1
        if args[0] is self.image and type(layer).forward is nn.Conv2d.forward:
            assert isinstance(layer, nn.Conv2d)
            self.conv, self.planes = layer, output.detach().requires_grad_() + 0
            return self.planes
        if args[0] is self.planes and isinstance(layer, nn.BatchNorm2d):
            self.norm = layer
            return output.detach()
        return output


_WATCHED = (nn.Conv2d, nn.BatchNorm2d)


def _reaches(outputs: Tensor, source: Tensor) -> bool:
    """Whether ``outputs`` depend on ``source``."""
    if not outputs.requires_grad:
        return False
    with torch.enable_grad():
        total = outputs.sum()
    return torch.autograd.grad(total, source, allow_unused=True, retain_graph=True)[0] is not None


def _check_statistics(mean: Sequence[float], std: Sequence[float]) -> None:
    if len(mean) != len(std) or not all(0 <= m <= 1 for m in mean) or not all(0 < s <= 1 for s in std):
        what = f"mean {tuple(mean)} and std {tuple(std)} are not fractions of 255, one per channel"
        raise SpecError(what, fix="divide them by 255 if they are in pixel steps")
