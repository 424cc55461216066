"""Which grids, which quantizers, which bits: what placement needs to know."""

from dataclasses import dataclass, field

from edgekd.errors import SchemeError
from edgekd.quant.lsq import LsqSpec
from edgekd.quant.quantizer import QuantizerSpec, Use


@dataclass(frozen=True)
class QuantScheme:
    """How a network is quantized.

    Attributes:
        weights: Weight quantizers, one scale per output channel, and their bits.
        activations: Activation quantizers, one scale per tensor, and their bits.
        first_layer_bits: Weight bits of the layers that read the input.
        last_layer_bits: Weight bits of the layers that make the outputs: every head.
        residual_bits: Activation bits of what residual additions read and make.

    Bits are 2..8.

    Raises:
        SchemeError: If bits are others, or a kind of quantizer cannot do what it is asked for.
    """

    weights: QuantizerSpec = field(default_factory=LsqSpec)
    activations: QuantizerSpec = field(default_factory=LsqSpec)
    first_layer_bits: int = 8
    last_layer_bits: int = 8
    residual_bits: int = 8

    def __post_init__(self) -> None:
        uses: dict[Use, QuantizerSpec] = {"weights": self.weights, "activations": self.activations}
        for use, spec in uses.items():
            if reason := spec.misuse(use):
                what, _, fix = reason.partition(": ")
                raise SchemeError(what, where=f"scheme.{use}", fix=fix)

        for name in ("first_layer_bits", "last_layer_bits", "residual_bits"):
            if not 2 <= (bits := getattr(self, name)) <= 8:
                what = f"no engine has codes of {bits} bits"
                raise SchemeError(what, where=f"scheme.{name}", fix="use 2 to 8")

    def weights_at(self, bits: int) -> QuantizerSpec:
        """Return the weight quantizers of a layer with these bits: LSQ where the kind has no such form.

        Example:
            Ternary weights with a first layer of 8 bits: that layer has LSQ.
        """
        spec = self.weights.model_copy(update={"bits": bits})
        return LsqSpec(bits=bits) if spec.misuse("weights") else spec
