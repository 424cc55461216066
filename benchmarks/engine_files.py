"""The engines that ``engine_latency`` times: edgekd's and each runtime's own tool's, of one float network.

Weights are random, their BatchNorms settled: speed does not depend on what a network knows. This is a program
of its own, for what measures forks, and should have neither torch nor a runtime's threads.
"""

import argparse
import contextlib
import io
import json
import logging
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import nncf
import numpy as np
import onnx
import openvino as ov
import torch
from numpy.typing import NDArray
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
from onnxruntime.quantization.shape_inference import quant_pre_process
from onnxruntime.tools.onnx_model_utils import make_dim_param_fixed
from torch import Tensor

from edgekd.board.runtime import How, runtime_called
from edgekd.core.profile import ProfileName
from edgekd.export.export import export
from edgekd.export.onnx_file import INPUT_NAME, export_onnx
from edgekd.lower.marked import MARKED
from edgekd.quant.calibrate import calibrate
from edgekd.quant.prepare import prepare
from edgekd.runtimes.coverage import Coverage, coverage
from edgekd.runtimes.onnx_runtime import optimized_graph, tap_everything
from edgekd.runtimes.onnx_runtime_target import OnnxRuntimeTarget
from edgekd.runtimes.openvino_coverage import openvino_coverage, shown_nodes
from edgekd.runtimes.openvino_target import OpenVinoTarget
from edgekd.runtimes.target import BuiltModel, TargetSpec
from edgekd.verify.verify_engine import verify_graph
from edgekd.zoo.mobilenet_v2 import MobileNetV2Spec
from edgekd.zoo.network import NetworkSpec
from edgekd.zoo.pixels import ImageNetwork, PixelGrid
from edgekd.zoo.resnet import ResNetSpec
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
    "resnet18_224": Case(ResNetSpec(depth=18), (3, 224, 224)),
    "resnet20": Case(ResNetCifarSpec(depth=20), (3, 32, 32)),
}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("network", choices=sorted(CASES))
    parser.add_argument("folder", type=Path)
    arguments = parser.parse_args()
    logging.getLogger().setLevel(logging.ERROR)
    made = _made(CASES[arguments.network], arguments.folder)
    (arguments.folder / "engines.json").write_text(json.dumps(made))


def _made(case: Case, folder: Path) -> dict[str, Any]:
    """Make every engine; return what a row says of them before they are timed."""
    torch.manual_seed(0)
    channels, height, width = case.shape
    pixels = np.random.default_rng(0).integers(
        0, 256, (CALIBRATION_IMAGES, height, width, channels), np.uint8
    )
    images = torch.tensor(pixels)
    network = _settled(case, images)
    planes = network.pixels(images).contiguous().numpy()
    export_onnx(network, images[:2], folder / "float.onnx")
    export_onnx(network.body, torch.tensor(planes[:2]), folder / "float_nchw.onnx")
    _fix_batch(folder / "float_nchw.onnx")
    exact = _export(network, images, folder / "edgekd", "ort", OnnxRuntimeTarget())
    engines = {"onnxruntime": {"edgekd": exact}, "openvino": {}}
    openvino = OpenVinoTarget(batch=1)
    profiles: tuple[ProfileName, ...] = ("ort", "tensorrt")
    for profile in profiles:
        name = f"openvino_edgekd_{profile}"
        engines["openvino"][name] = _export(network, images, folder / name, profile, openvino)
    for inputs, float_name in ((pixels, "float"), (planes, "float_nchw")):
        file, suffix = folder / f"{float_name}.onnx", float_name.removeprefix("float")
        np.save(folder / f"{float_name}.npy", inputs[:1])
        engines["onnxruntime"] |= {float_name: file, f"ort_tool{suffix}": _quantize_static(file, inputs)}
        engines["openvino"] |= {f"openvino_{float_name}": file, f"nncf{suffix}": _quantize_nncf(file, inputs)}
    found = verify_graph(
        BuiltModel(OnnxRuntimeTarget(), exact), pixels[:1], marked=exact.with_name(MARKED)
    ).oracle
    return {
        "network": case.spec.title,
        "image": case.shape,
        "oracle": {"mismatches": found.mismatches, "values": found.values},
        "tools": {name: version(name) for name in ("nncf", "onnxruntime", "openvino")},
        "engines": {
            name: _described(runtime, path, folder / f"float{'_nchw' * name.endswith('nchw')}.npy")
            for runtime, paths in engines.items()
            for name, path in paths.items()
        },
    }


def _settled(case: Case, images: Tensor) -> ImageNetwork:
    body = case.spec.build(channels=case.shape[0], classes=10, size=case.shape[1:])
    network = ImageNetwork(PixelGrid.like(), body)
    with torch.no_grad():
        for batch in torch.split(images, 16):
            network.train()(batch)
    return network.eval()


def _export(
    network: ImageNetwork, images: Tensor, folder: Path, profile: ProfileName, target: TargetSpec
) -> Path:
    student = prepare(network, images[:2], profile)
    calibrate(student, torch.split(images, 16))
    return export(student, images[:2], folder, target=target)


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


def _quantize_static(model: Path, inputs: NDArray[Any]) -> Path:
    """Quantize as ONNX Runtime's documentation advises for x86: QDQ, per channel, QUInt8 x QInt8."""
    prepared, quantized = model.with_suffix(".prepared.onnx"), model.with_suffix(".ort_tool.onnx")
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
    return quantized


def _quantize_nncf(model: Path, inputs: NDArray[Any]) -> Path:
    """Quantize as NNCF does by default for CPUs, batch fixed to 1, which OpenVINO runs fastest."""
    network = ov.Core().read_model(model)
    network.reshape([1, *inputs.shape[1:]])
    data = nncf.Dataset([one[None] for one in inputs])
    with contextlib.redirect_stdout(io.StringIO()):
        quantized = nncf.quantize(network, data, target_device=nncf.TargetDevice.CPU, subset_size=len(inputs))
    path = model.with_suffix(".nncf.xml")
    ov.save_model(quantized, path, compress_to_fp16=False)
    return path


def _described(runtime: str, path: Path, image: Path) -> dict[str, Any]:
    files = [path, path.with_suffix(".bin")] if path.suffix == ".xml" else [path]
    found = {"onnxruntime": _on_onnx_runtime, "openvino": _on_openvino}[runtime](path, np.load(image))
    return {
        "runtime": runtime,
        "path": str(path),
        "image": str(image),
        "size_bytes": sum(file.stat().st_size for file in files),
        "float_ops": dict(Counter(sorted(fallback.op for fallback in found.fallbacks))),
    }


def _on_onnx_runtime(path: Path, image: NDArray[Any]) -> Coverage:
    optimized = optimized_graph(path)
    return coverage(optimized, tap_everything(optimized, {INPUT_NAME: image}))


def _on_openvino(path: Path, _: NDArray[Any]) -> Coverage:
    opened = runtime_called("openvino").open(str(path), How(shown=True))
    return openvino_coverage(shown_nodes(opened.shown()), {})


if __name__ == "__main__":
    main()
