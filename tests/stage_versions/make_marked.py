"""Writes ``marked.onnx``: every kind of layer that lowering rewrites, as small as it gets.

``python make_marked.py`` makes it anew, which is needed only when the marks themselves change.
"""

from pathlib import Path

import torch
from torch import Tensor, nn

from edgekd.export.export_marked import write_marked
from edgekd.quant.calibrate import calibrate
from edgekd.quant.prepare import prepare
from edgekd.zoo.pixels import ImageNetwork, PixelGrid


class Body(nn.Module):
    """Stem, depthwise layer, residual addition, shortcut by padding, pool, classifier."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(1, 8, 3, padding=1, bias=False), nn.BatchNorm2d(8), nn.ReLU6())
        self.depthwise = nn.Sequential(nn.Conv2d(8, 8, 3, padding=1, groups=8), nn.BatchNorm2d(8), nn.ReLU())
        self.project = nn.Conv2d(8, 8, 1)
        self.classifier = nn.Linear(16, 4)

    def forward(self, x: Tensor) -> Tensor:
        """Map float images (n, 1, h, w) to logits (n, 4)."""
        x = self.stem(x)
        x = x + self.project(self.depthwise(x))
        x = nn.functional.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, 4, 4))
        logits: Tensor = self.classifier(x.mean((2, 3)))
        return logits


def main(folder: Path) -> None:
    """Write the marked graph of the body with random weights and statistics."""
    torch.manual_seed(0)
    images = torch.randint(0, 256, (16, 6, 6, 1), dtype=torch.uint8)
    network = ImageNetwork(PixelGrid.like(), Body())
    for _ in range(20):
        network(images)  # batch statistics
    student = prepare(network.eval(), images[:2])
    calibrate(student, [images], "minmax")
    write_marked(folder, student, images)
    (folder / "probes.npy").unlink()


if __name__ == "__main__":
    main(Path(__file__).parent)
