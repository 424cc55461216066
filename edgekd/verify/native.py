"""An emulated CPU against this machine's own: the same engine, the same inputs, bit by bit."""

from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

from edgekd.runtimes.session import Tensors


@dataclass(frozen=True)
class NativeResult:
    """What was compared.

    Attributes:
        values: Numbers compared.
        differences: Of them, those that differ; one that the other CPU does not give counts whole.
        first_difference: Name of the first tensor that differs; empty if none does.
    """

    values: int
    differences: int
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
    differ = {name: _differences(here, there) for name, here, there in pairs}
    first = next((name for name, number in differ.items() if number), "")
    return NativeResult(sum(here.size for _, here, _ in pairs), sum(differ.values()), first)


def _differences(here: NDArray[Any], there: NDArray[Any] | None) -> int:
    if there is None or here.shape != there.shape or here.dtype != there.dtype:
        return here.size
    return int((~((here == there) | ((here != here) & (there != there)))).sum())
