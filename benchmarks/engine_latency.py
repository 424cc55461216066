"""How fast edgekd's integer engine is beside ONNX Runtime's own quantization tool, on the same float network.

Five files of one network, in interleaved rounds of several sessions, batch 1:

    edgekd        prepare, calibrate, export: raw uint8 NHWC images in
    float         the float ONNX that edgekd exports: the same input
    ort_tool      quantize_static (QDQ, per channel, QUInt8 x QInt8) of that file
    float_nchw    the float network without its pixel grid: normalized float NCHW images in, batch fixed to 1
    ort_tool_nchw quantize_static of that file, as the tool's users do it: its best chance

Weights are random, their BatchNorms settled: speed does not depend on what a network knows. ``float_ops``
counts what the optimised graph still computes in float.
"""

import argparse
import contextlib
import io
import logging
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
from onnxruntime.quantization.shape_inference import quant_pre_process
from onnxruntime.tools.onnx_model_utils import make_dim_param_fixed
from torch import Tensor

from benchmarks.rows import append_row, percentiles
from edgekd.board.rounds import Design
from edgekd.board.visits import Run
from edgekd.core.profile import PROFILES
from edgekd.device.latency import LatencySamples, measure_here, speedup
from edgekd.export.export import export
from edgekd.export.onnx_file import INPUT_NAME, export_onnx
from edgekd.quant.calibrate import calibrate
from edgekd.quant.prepare import prepare
from edgekd.runtimes.coverage import coverage
from edgekd.runtimes.onnx_runtime import open_session, optimized_graph, tap_everything
from edgekd.zoo.mobilenet_v2 import MobileNetV2Spec
from edgekd.zoo.network import NetworkSpec
from edgekd.zoo.pixels import ImageNetwork, PixelGrid
from edgekd.zoo.resnet_cifar import ResNetCifarSpec

CALIBRATION_IMAGES = 64


@dataclass(frozen=True)
class Case:
    """A network and the shape of one of its images (channels, height, width)."""

    spec: NetworkSpec
    shape: tuple[int, int, int]


CASES = {
    "mobilenet_x0.5": Case(MobileNetV2Spec(width=0.5, stem="small"), (1, 32, 32)),
    "mobilenet_x1.0": Case(MobileNetV2Spec(width=1.0, stem="small"), (1, 32, 32)),
    "mobilenet_x1.0_224": Case(MobileNetV2Spec(width=1.0, stem="imagenet"), (3, 224, 224)),
    "resnet20": Case(ResNetCifarSpec(depth=20), (3, 32, 32)),
}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--network", choices=sorted(CASES), nargs="+", default=list(CASES))
    parser.add_argument("--sessions", type=int, default=12)
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    for name in arguments.network:
        with tempfile.TemporaryDirectory() as folder:
            _measure(CASES[name], Path(folder), sessions=arguments.sessions, threads=arguments.threads)


def _measure(case: Case, folder: Path, *, sessions: int, threads: int) -> None:
    channels, height, width = case.shape
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (CALIBRATION_IMAGES, height, width, channels), dtype=np.uint8)
    normalized = PixelGrid.like()(torch.tensor(images)).numpy()
    files = _files(case, torch.tensor(images), folder)
    feeds = {name: {INPUT_NAME: (normalized if name.endswith("nchw") else images)[:1]} for name in files}
    samples = measure_here(
        {name: partial(_inference, path, feeds[name], threads=threads) for name, path in files.items()},
        design=Design(sessions=sessions),
    )
    append_row(
        "engine_latency",
        {
            "network": case.spec.name,
            "image": case.shape,
            "batch_size": 1,
            "threads": threads,
            "sessions": sessions,
            "profile": "ort",
            "profile_version": PROFILES["ort"].version,
            "models": {
                name: {
                    **percentiles(samples[name].times_ms),
                    "size_bytes": path.stat().st_size,
                    "float_ops": dict(Counter(_float_ops(path, feeds[name]))),
                }
                for name, path in files.items()
            },
            "edgekd_speedup_over": {
                name: _speedup(samples["edgekd"], found)
                for name, found in samples.items()
                if name != "edgekd"
            },
        },
    )


def _files(case: Case, images: Tensor, folder: Path) -> dict[str, Path]:
    torch.manual_seed(0)
    body = case.spec.build(channels=case.shape[0], classes=10, size=case.shape[1:])
    network = ImageNetwork(PixelGrid.like(), body)
    with torch.no_grad():
        for batch in torch.split(images, 16):
            network.train()(batch)
    network.eval()
    student = prepare(network, images[:2])
    calibrate(student, torch.split(images, 16))
    files = {name: folder / f"{name}.onnx" for name in ("float", "float_nchw", "ort_tool", "ort_tool_nchw")}
    export_onnx(network, images[:2], files["float"])
    export_onnx(network.body, network.pixels(images[:2]).contiguous(), files["float_nchw"])
    _fix_batch(files["float_nchw"])
    _quantize_static(files["float"], files["ort_tool"], images.numpy())
    _quantize_static(files["float_nchw"], files["ort_tool_nchw"], network.pixels(images).numpy())
    return {"edgekd": export(student, images[:2], folder / "edgekd"), **files}


def _fix_batch(path: Path) -> None:
    model = onnx.load(path)
    make_dim_param_fixed(model.graph, "batch", 1)
    onnx.save(model, path)


class _Reader(CalibrationDataReader):  # type: ignore[misc]
    """Feeds calibration inputs (n, ...) one by one."""

    def __init__(self, inputs: Iterable[NDArray[Any]]) -> None:
        self.feeds = ({INPUT_NAME: one[None]} for one in inputs)

    def get_next(self) -> dict[str, NDArray[Any]] | None:
        """Return the next feed, or None after the last."""
        return next(self.feeds, None)


def _quantize_static(model: Path, quantized: Path, inputs: NDArray[Any]) -> None:
    prepared = model.with_suffix(".prepared.onnx")
    logging.getLogger().setLevel(logging.ERROR)
    with contextlib.redirect_stdout(io.StringIO()):
        quant_pre_process(model, prepared)
        quantize_static(
            prepared,
            quantized,
            _Reader(inputs),
            quant_format=QuantFormat.QDQ,
            per_channel=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
        )


@contextlib.contextmanager
def _inference(path: Path, feeds: dict[str, NDArray[Any]], *, threads: int) -> Iterator[Run]:
    session = open_session(path, threads=threads)
    yield lambda: session.run(None, feeds)


def _float_ops(path: Path, feeds: dict[str, NDArray[Any]]) -> list[str]:
    optimized = optimized_graph(path)
    return sorted(found.op for found in coverage(optimized, tap_everything(optimized, feeds)).fallbacks)


def _speedup(subject: LatencySamples, reference: LatencySamples) -> dict[str, Any]:
    found = speedup(subject, reference)
    low, high = found.ci
    return {"ratio": round(found.ratio, 4), "ci": [round(low, 4), round(high, 4)], "verdict": found.verdict}


if __name__ == "__main__":
    main()
