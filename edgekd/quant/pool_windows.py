"""Where the windows of a pool end along one axis, as torch counts them.

With ``ceil_mode`` a last window that is cut off counts too, unless it would start behind the image. All sizes
are in pixels, and places are counted from the first pixel of the padding in front of the image.
"""

import math
from typing import Any

from edgekd.quant.rewriting.rewrite import flat


def both(value: Any) -> tuple[int, int]:
    """Return an option of a pool for both axes: one number stands for two."""
    values = flat([value])
    return values[0], values[-1]


def reach_into_padding(size: int, kernel: int, step: int, pad: int) -> int:
    """Return how much of the padding behind the image the last window reaches; negative: short of its end.

    Example:
        Kernel 2, step 3, padding 1, 6 pixels: windows start at 0, 3 and 6. The last one covers places 6 and
        7, the last pixel and one of the padding.
        >>> reach_into_padding(6, 2, 3, 1)
        1
    """
    start = _last_start(size, kernel, step, pad)
    if leaves_a_window_out(size, kernel, step, pad):
        start -= step
    return min(pad, start + kernel - size - pad)


def leaves_a_window_out(size: int, kernel: int, step: int, pad: int) -> bool:
    """Whether a window that is cut off is left out because it would start behind the image.

    ONNX's shape inference counts it.
    """
    return _last_start(size, kernel, step, pad) >= size + pad


def _last_start(size: int, kernel: int, step: int, pad: int) -> int:
    return math.ceil((size + 2 * pad - kernel) / step) * step
