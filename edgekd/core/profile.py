"""Profiles: what a runtime's integer kernels can represent, and therefore where training puts quantizers.

A network is trained for a profile. Changing a profile's meaning changes what was trained, so each carries a
version that the store keys on and every report prints.
"""

from dataclasses import dataclass
from typing import Literal

from edgekd.core.grid import IntGrid

ProfileName = Literal["ort", "tensorrt", "portable"]


@dataclass(frozen=True)
class Profile:
    """One family of integer kernels.

    Attributes:
        name: The word in the pipeline file.
        version: Raised when the meaning changes.
        edges: ``outputs``: every operator's result is quantized once. ``inputs``: only what a convolution, a
            matrix product or an average pool reads is quantized, so that the runtime may fuse across the
            rest.
        add_inputs: Which inputs of a residual addition are quantized: both, or only the skip connection.
        storage: Integer type of activations in the file.
        signed_zero_point: Stored code of the real number 0 for tensors that can be negative.
        non_negative_qmax: Highest 8-bit code after a ReLU.
        bias: How a bias is stored: ``int32`` with scale ``x_scale * w_scale``, or ``float``.
    """

    name: ProfileName
    version: int
    edges: Literal["outputs", "inputs"]
    add_inputs: Literal["both", "skip"]
    storage: Literal["uint8", "int8"]
    signed_zero_point: int
    non_negative_qmax: int
    bias: Literal["int32", "float"]

    def activation_grid(self, *, bits: int, non_negative: bool) -> IntGrid:
        """Return the grid of an activation.

        Example:
            >>> PROFILES["ort"].activation_grid(bits=8, non_negative=True)
            IntGrid(qmin=0, qmax=255)
            >>> PROFILES["portable"].activation_grid(bits=8, non_negative=True)
            IntGrid(qmin=0, qmax=127)
        """
        if non_negative:
            return IntGrid(0, min(2**bits - 1, self.non_negative_qmax))
        return IntGrid(-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)


PROFILES: dict[ProfileName, Profile] = {
    profile.name: profile
    for profile in (
        # ONNX Runtime CPU fuses a ReLU into the kernel only when code 0 is the type's minimum, and an
        # addition only when both inputs are quantized.
        Profile(
            name="ort",
            version=1,
            edges="outputs",
            add_inputs="both",
            storage="uint8",
            signed_zero_point=128,
            non_negative_qmax=255,
            bias="int32",
        ),
        # TensorRT knows only int8 with zero point 0, and fuses conv + add only when the convolution's own
        # result is left unquantized.
        Profile(
            name="tensorrt",
            version=1,
            edges="inputs",
            add_inputs="skip",
            storage="int8",
            signed_zero_point=0,
            non_negative_qmax=127,
            bias="float",
        ),
        # Both can represent this: u8 code 128 is s8 code 0, and ReLU tensors stay within 0..127. TensorRT
        # then does not fuse conv + add, a known cost.
        Profile(
            name="portable",
            version=1,
            edges="outputs",
            add_inputs="both",
            storage="uint8",
            signed_zero_point=128,
            non_negative_qmax=127,
            bias="int32",
        ),
    )
}
