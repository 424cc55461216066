"""Profiles: what a runtime's integer kernels can represent, and therefore where training puts quantizers.

Codes are centred here: 0 stands for the number 0. How a runtime stores them (uint8 with zero point 128, int8)
and its biases is a matter of its dialect, see ``edgekd/lower``.

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
            rest; of a residual addition, the skip connection. What copies numbers on the way, such as a max
            pool or a padding, runs on the codes.
        non_negative_qmax: Highest 8-bit code after a ReLU.
        channel_multiple: What widths of searched networks are rounded to: kernels fill whole vectors.
    """

    name: ProfileName
    version: int
    edges: Literal["outputs", "inputs"]
    non_negative_qmax: int
    channel_multiple: int

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
            non_negative_qmax=255,
            channel_multiple=8,
        ),
        # TensorRT knows only int8 with zero point 0, and fuses conv + add only when the convolution's own
        # result is left unquantized.
        Profile(
            name="tensorrt",
            version=2,
            edges="inputs",
            non_negative_qmax=127,
            channel_multiple=32,
        ),
        # Both can represent this: u8 code 128 is s8 code 0, and ReLU tensors stay within 0..127. TensorRT
        # then does not fuse conv + add, a known cost.
        Profile(
            name="portable",
            version=1,
            edges="outputs",
            non_negative_qmax=127,
            channel_multiple=32,
        ),
    )
}
