"""Which grids, which quantizers, which bits: what placement needs to know."""

from dataclasses import dataclass, field

from edgekd.quant.lsq import LsqSpec
from edgekd.quant.quantizer import QuantizerSpec


@dataclass(frozen=True)
class QuantScheme:
    """How a network is quantized.

    Attributes:
        weights: Weight quantizers, one scale per output channel, and their bits.
        activations: Activation quantizers, one scale per tensor, and their bits.
        first_layer_bits: Weight bits of the layers that read the input.
        last_layer_bits: Weight bits of the layers that make the outputs: every head.
        residual_bits: Activation bits of the results of residual additions.
    """

    weights: QuantizerSpec = field(default_factory=LsqSpec)
    activations: QuantizerSpec = field(default_factory=LsqSpec)
    first_layer_bits: int = 8
    last_layer_bits: int = 8
    residual_bits: int = 8
