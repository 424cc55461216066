"""Which grids, which quantizers, which bits: what placement needs to know."""

from dataclasses import dataclass, field

from edgekd.core.profile import PROFILES, Profile
from edgekd.quant.lsq import LsqSpec
from edgekd.quant.quantizer import QuantizerSpec


@dataclass(frozen=True)
class QuantScheme:
    """How a network is quantized.

    Attributes:
        profile: What the target's integer kernels can represent.
        weights: Weight quantizers (one scale per output channel) and the bits of all but the first and last
        layer. activations: Activation quantizers (one scale per tensor) and the bits of all but the residual
        stream. first_layer_bits: Weight bits of the layer that reads the input.
        last_layer_bits: Weight bits of the layer that makes the output.
        residual_bits: Activation bits of the results of residual additions.
    """

    profile: Profile = PROFILES["ort"]
    weights: QuantizerSpec = field(default_factory=LsqSpec)
    activations: QuantizerSpec = field(default_factory=LsqSpec)
    first_layer_bits: int = 8
    last_layer_bits: int = 8
    residual_bits: int = 8
