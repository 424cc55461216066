"""What fake quantization costs a training step: forward, loss, backward and optimizer step.

Four variants of one network, float and fake-quantized (W8A8, LSQ), eager and compiled, in interleaved rounds
of one run, on random uint8 images of 3x32x32.
"""

import argparse
import time
from collections.abc import Callable
from contextlib import nullcontext
from functools import partial

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

import edgekd
from benchmarks.rows import append_row, percentiles
from edgekd.board.rounds import Design
from edgekd.core.profile import PROFILES
from edgekd.core.statistics import paired_ratio
from edgekd.device.latency import LatencySamples, measure_here
from edgekd.zoo.mobilenet_v2 import MobileNetV2Spec
from edgekd.zoo.network import NetworkSpec
from edgekd.zoo.pixels import ImageNetwork, PixelGrid
from edgekd.zoo.resnet_cifar import ResNetCifarSpec

NETWORKS: dict[str, NetworkSpec] = {
    "resnet20": ResNetCifarSpec(depth=20),
    "mobilenet": MobileNetV2Spec(width=0.5, stem="small"),
}
MODES = ("eager", "compiled")


def main() -> None:
    arguments = _arguments()
    torch.set_num_threads(arguments.threads)
    torch.manual_seed(0)
    images = torch.randint(256, (arguments.batch_size, 32, 32, 3), dtype=torch.uint8)
    y = torch.randint(10, (arguments.batch_size,))
    spec = NETWORKS[arguments.network]
    steps = {
        f"{kind}_{mode}": _step(_network(spec, kind, images), images, y, compiled=mode == "compiled")
        for kind in ("float", "fake_quant")
        for mode in MODES
    }
    first_seconds = {name: _seconds(step) for name, step in steps.items()}
    samples = measure_here(
        {name: partial(nullcontext, step) for name, step in steps.items()},
        design=Design(sessions=1, rounds=arguments.rounds, round_ms=1000, warmup_ms=300),
        on_round=lambda done, total: print(f"{done}/{total}"),
    )
    ratios = {
        mode: paired_ratio(_by_round(samples[f"fake_quant_{mode}"]), _by_round(samples[f"float_{mode}"]))
        for mode in MODES
    }
    append_row(
        "train_step",
        {
            "network": spec.name,
            "batch_size": arguments.batch_size,
            "threads": arguments.threads,
            "rounds": arguments.rounds,
            "profile": "ort",
            "profile_version": PROFILES["ort"].version,
            "variants": {name: percentiles(found.times_ms) for name, found in samples.items()},
            "fake_over_float": {
                mode: {"ratio": round(found.ratio, 4), "ci": [round(found.low, 4), round(found.high, 4)]}
                for mode, found in ratios.items()
            },
            "compile_seconds": {
                name: round(seconds, 1)
                for name, seconds in first_seconds.items()
                if name.endswith("compiled")
            },
        },
    )


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--network", choices=sorted(NETWORKS), default="resnet20")
    parser.add_argument("--batch-size", type=int, default=128)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=12)
    return parser.parse_args()


def _network(spec: NetworkSpec, kind: str, images: Tensor) -> nn.Module:
    network = ImageNetwork(PixelGrid.like(), spec.build(channels=3, classes=10, size=(32, 32)))
    if kind == "float":
        return network.train()
    student = edgekd.prepare(network, images[:2])
    edgekd.calibrate(student, [images[:64]], method="minmax")
    return student


def _step(network: nn.Module, images: Tensor, y: Tensor, *, compiled: bool) -> Callable[[], None]:
    optimizer = torch.optim.SGD(network.parameters(), lr=1e-4, momentum=0.9, nesterov=True)
    run = torch.compile(network) if compiled else network

    def step() -> None:
        loss = F.cross_entropy(run(images), y)
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        optimizer.zero_grad()

    return step


def _by_round(samples: LatencySamples) -> NDArray[np.float64]:
    """Return the times of the only session as if each round were one."""
    return samples.times_ms[0][:, None]


def _seconds(step: Callable[[], None]) -> float:
    start = time.perf_counter()
    step()
    return time.perf_counter() - start


if __name__ == "__main__":
    main()
