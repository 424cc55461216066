"""The pixel grid of a student, as a mark in the exported graph."""

import torch
from torch import Tensor

from edgekd.quant.fake_quant import MARK_DOMAIN
from edgekd.zoo.pixels import PixelGrid


class MarkedPixels(PixelGrid):
    """A pixel grid that exports as one ``edgekd::Pixels`` mark: the pixels are the input's integer codes."""

    def forward(self, images: Tensor) -> Tensor:
        """Map uint8 images (n, h, w, c) to float (n, c, h, w)."""
        if not torch.compiler.is_exporting():
            return super().forward(images)
        n, height, width, channels = images.shape
        return torch.onnx.ops.symbolic(
            f"{MARK_DOMAIN}::Pixels",
            (images,),
            attrs={"scale": self.scale, "zero_point": self.zero_point},
            dtype=torch.float32,
            shape=(n, channels, height, width),
            version=1,
        )
