"""How small the files of students of few bits are, and that they still run in integers.

One network, post-training quantized to five kinds of weights; its first and last layer have 8 bits:

    W8, W4, W3, ternary   codes of 8, 4, 3 and 2 bits
    code-book             4-bit indices into 16 values of each layer, the quantiles of its weights

Weights are random, their BatchNorms settled. ``payload_bytes`` are codes as stored, tables and 12 bytes per
output channel, ``needed_bytes`` the same with every code at the bits that it needs and without tables,
``graph_bytes`` the rest of the file, ``download_bytes`` the file under zlib at level 9.
"""

import argparse
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import onnx_ir as ir
import torch
from torch import Tensor, nn

from benchmarks.rows import append_row
from edgekd.core.profile import PROFILES
from edgekd.export.export import export
from edgekd.lower.payload import layer_weights
from edgekd.quant.calibrate import calibrate
from edgekd.quant.lsq import LsqSpec
from edgekd.quant.prepare import prepare
from edgekd.quant.scheme import QuantScheme
from edgekd.runtimes.onnx_runtime_target import OnnxRuntimeTarget
from edgekd.runtimes.target import BuiltModel
from edgekd.verify.verify_engine import download_bytes, verify_graph
from edgekd.zoo.mobilenet_v2 import MobileNetV2Spec
from edgekd.zoo.network import NetworkSpec
from edgekd.zoo.pixels import ImageNetwork, PixelGrid
from edgekd.zoo.resnet_cifar import ResNetCifarSpec

NETWORKS: dict[str, NetworkSpec] = {
    "resnet20": ResNetCifarSpec(depth=20),
    "mobilenet_v2": MobileNetV2Spec(width=1.0, stem="small"),
}
BITS = {"W8": 8, "W4": 4, "W3": 3, "ternary": 2, "code-book": 8}
SHAPE = (3, 32, 32)
LARGEST_CODE = 127


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--network", choices=sorted(NETWORKS), nargs="+", default=list(NETWORKS))
    arguments = parser.parse_args()
    for name in arguments.network:
        append_row(
            "packed_size",
            {
                "network": NETWORKS[name].title,
                "image": SHAPE,
                "profile": "ort",
                "profile_version": PROFILES["ort"].version,
                "weights": {weights: _measure(NETWORKS[name], weights) for weights in BITS},
            },
        )


def _measure(spec: NetworkSpec, weights: str) -> dict[str, Any]:
    channels, height, width = SHAPE
    torch.manual_seed(0)
    images = torch.randint(0, 256, (32, height, width, channels), dtype=torch.uint8)
    network = ImageNetwork(PixelGrid.like(), spec.build(channels=channels, classes=10, size=(height, width)))
    with torch.no_grad():
        for batch in torch.split(images, 16):
            network.train()(batch)
    if weights == "code-book":
        _snap(network)
    scheme = QuantScheme(weights=LsqSpec(bits=BITS[weights]))
    student = prepare(network.eval(), images[:2], scheme=scheme)
    calibrate(student, torch.split(images, 16), "minmax")
    with tempfile.TemporaryDirectory() as folder:
        model = export(student, images[:2], Path(folder))
        found = verify_graph(
            BuiltModel(OnnxRuntimeTarget(), model), images[:2].numpy(), marked=Path(folder) / "marked.onnx"
        )
        layers = layer_weights(ir.load(model))
        size_bytes, payload_bytes = model.stat().st_size, sum(layer.size_bytes for layer in layers)
        return {
            "size_bytes": size_bytes,
            "payload_bytes": payload_bytes,
            "needed_bytes": sum(layer.needed_bytes for layer in layers),
            "graph_bytes": size_bytes - payload_bytes,
            "download_bytes": download_bytes(model),
            "layers": len(layers),
            "float_ops": len(found.coverage.fallbacks),
            "oracle_mismatches": found.oracle.mismatches,
            "layer_off_by_more": sum(layer.off_by_more for layer in found.layers),
        }


@torch.no_grad()
def _snap(network: nn.Module) -> None:
    """Give all layers but the first and the last 16 different codes: quantiles, the ends and 0."""
    layers = [layer for layer in network.modules() if isinstance(layer, nn.Conv2d | nn.Linear)]
    for layer in layers[1:-1]:
        weight = layer.weight.flatten(1)
        step = weight.abs().amax(1, keepdim=True) / LARGEST_CODE
        codes = weight / step
        book = torch.cat([torch.quantile(_some(codes), torch.linspace(0.05, 0.95, 13)), torch.zeros(1)])
        book = torch.unique(torch.cat([book, torch.tensor([-LARGEST_CODE, LARGEST_CODE])]).round())
        nearest = (codes[..., None] - book).abs().argmin(-1)
        layer.weight.copy_((book[nearest] * step).reshape(layer.weight.shape))


def _some(values: Tensor) -> Tensor:
    """Return so few of ``values`` that torch takes their quantiles."""
    return values.flatten()[:: int(np.ceil(values.numel() / 100_000))]


if __name__ == "__main__":
    main()
