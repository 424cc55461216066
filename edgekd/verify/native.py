"""An emulated CPU against this machine's own: the same engine, the same inputs, bit by bit."""

from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

from edgekd.runtimes.session import Tensors, same_values


@dataclass(frozen=True)
class NativeResult:
    """What was compared.

    Attributes:
        values: Numbers compared.
        first_difference: Name of the first tensor that differs; empty if none does.
    """

    values: int
    first_difference: str

    @property
    def identical(self) -> bool:
        """Whether every number is the same."""
        return not self.first_difference


def compare_with_native(
    codes: Tensors, native_codes: Tensors, logits: NDArray[Any], native_logits: NDArray[Any]
) -> NativeResult:
    """Compare codes by mark, which are in the order of the graph, and then logits, bit by bit."""
    pairs = [(name, value, codes.get(name)) for name, value in native_codes.items()]
    pairs.append(("logits", native_logits, logits))
    different = (name for name, here, there in pairs if there is None or not same_values(here, there))
    return NativeResult(sum(here.size for _, here, _ in pairs), next(different, ""))
