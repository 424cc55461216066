"""The integer grid that a quantizer snaps to."""

from dataclasses import dataclass


@dataclass(frozen=True)
class IntGrid:
    """Codes ``qmin..qmax``, centred so that code 0 always means the real number 0.

    A runtime stores ``code + zero_point`` in 8 bits; the zero point belongs to the dialect, not to the grid.

    Attributes:
        qmin: Lowest code, <= 0.
        qmax: Highest code, > 0.
    """

    qmin: int
    qmax: int

    @property
    def non_negative(self) -> bool:
        """Whether the grid holds no negative number, as after a ReLU."""
        return self.qmin == 0

    @property
    def bits(self) -> int:
        """Bits that one code needs."""
        return (self.qmax - self.qmin).bit_length()


def weight_grid(bits: int) -> IntGrid:
    """Return the narrow symmetric grid of weights, ``-(2**(bits-1)-1) .. 2**(bits-1)-1``.

    Narrow, so that a sign flip maps codes to codes: folding a BatchNorm with a negative gain relies on it.

    Example:
        >>> weight_grid(8)
        IntGrid(qmin=-127, qmax=127)
    """
    qmax = 2 ** (bits - 1) - 1
    return IntGrid(-qmax, qmax)
