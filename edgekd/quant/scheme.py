"""The ``quantize`` section of a pipeline file, without the unions: which grids, which quantizers, which bits."""

from dataclasses import dataclass, field

from edgekd.core.profile import PROFILES, Profile
from edgekd.quant.lsq import LsqSpec
from edgekd.quant.quantizer import QuantizerSpec


@dataclass(frozen=True)
class QuantScheme:
    """What placement needs to know.

    Attributes:
        profile: What the target's integer kernels can represent.
        weights: Kind of weight quantizer; one scale per output channel.
        activations: Kind of activation quantizer; one scale per tensor.
        weight_bits: Bits of all weights but the first and last layer's.
        activation_bits: Bits of all activations but the residual stream's.
        first_layer_bits: Weight bits of the layer that reads the input.
        last_layer_bits: Weight bits of the layer that makes the output.
        residual_bits: Activation bits of the results of residual additions.
    """

    profile: Profile = PROFILES["ort"]
    weights: QuantizerSpec = field(default_factory=LsqSpec)
    activations: QuantizerSpec = field(default_factory=LsqSpec)
    weight_bits: int = 8
    activation_bits: int = 8
    first_layer_bits: int = 8
    last_layer_bits: int = 8
    residual_bits: int = 8
