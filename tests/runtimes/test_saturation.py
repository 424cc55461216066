"""Channels that a CPU without VNNI gets wrong: by hand, and under emulation of such a CPU."""

import json
import subprocess
import sys

import numpy as np
import onnx
import onnx_ir as ir
import pytest
import torch
import torch.nn.functional as F
from torch import nn

import edgekd
from edgekd.lower.openvino_dialect import lower_for_openvino
from edgekd.quant.minmax import MinMaxSpec
from edgekd.quant.scheme import QuantScheme
from edgekd.runtimes.here import HERE
from edgekd.runtimes.onnx_runtime import optimized_graph, tap_everything
from edgekd.runtimes.saturation import saturation, saturation_by_weights
from edgekd.zoo.pixels import ImageNetwork, PixelGrid

ONE = {"one": np.float32(1), "z": np.uint8(0), "iz": np.int8(0), "ys": np.float32(9000)}


def conv(onnx_model, rows, *, channels, kernel=1, group=1, pad=0):
    """Return a convolution with the weights ``rows`` (out, kernel * kernel * channels / group), summed so."""
    w = np.int8(rows).reshape(len(rows), kernel, kernel, channels // group)
    body = f"y = QLinearConv<pads=[{pad},{pad},{pad},{pad}], group={group}>(x, one, z, w, one, iz, ys, z)"
    constants = {**ONE, "w": np.moveaxis(w, -1, 1).copy()}
    return onnx_model(f"uint8[1,{channels},4,4] x", f"uint8[1,{len(rows)},N,M] y", body, constants)


def found_in(model, x):
    optimized = optimized_graph(model.SerializeToString())
    return saturation(optimized, {"x": x, **tap_everything(optimized, {"x": x})}, protected=HERE.saturates())


def pixels(*values):
    """Return an image (1, channels, 4, 4) of one colour."""
    return np.broadcast_to(np.uint8(values)[None, :, None, None], (1, len(values), 4, 4)).copy()


def test_channels_are_counted_by_weights_and_by_what_happens(onnx_model):
    """Numbers 0 and 1, then 2 and 3 are added; 129 * 255 = 32895 passes 32767.

    The image is (255, 255, 100, 255): 100 * 65 + 255 * 64 is small.
    """
    rows = [
        [65, 64, 0, 0],  # 129 * 255: could and does
        [64, 64, 0, 0],  # 128 * 255 = 32640: cannot
        [0, 100, 100, 0],  # 1 and 2 are never added in 16 bits
        [127, -127, 0, 0],  # they cancel
        [0, 0, 65, 64],  # could, but 65 * 100 + 64 * 255 = 22820
        [-100, -29, 0, 0],  # -129 * 255 = -32895 is below -32768
    ]
    (layer,) = found_in(conv(onnx_model, rows, channels=4), pixels(255, 255, 100, 255))
    assert (layer.channels, layer.could, layer.does) == (6, 3, 2)
    assert found_in(conv(onnx_model, rows[1:4], channels=4), pixels(255, 255, 100, 255)) == ()


def test_windows_are_summed_position_by_position_and_group_by_group(onnx_model):
    """With three channels, number 2 is channel 2 of one position, number 3 channel 0 of the next."""
    across = np.zeros((2, 27), int)
    across[0, 2:4] = 100
    across[1, 3:5] = 100
    x = pixels(255, 0, 255)
    (layer,) = found_in(conv(onnx_model, across, channels=3, kernel=3, pad=1), x)
    assert (layer.could, layer.does) == (1, 1)
    x[0, 0, :, 1:] = 0  # where channel 0 is 255, there is nothing but padding to its left
    (layer,) = found_in(conv(onnx_model, across, channels=3, kernel=3, pad=1), x)
    assert (layer.could, layer.does) == (1, 0)
    grouped = conv(onnx_model, [[100, 100], [100, 100]], channels=4, group=2)
    (layer,) = found_in(grouped, pixels(255, 255, 0, 255))
    assert (layer.could, layer.does) == (2, 1)


def test_depthwise_layers_and_products_of_activations_are_safe(onnx_model):
    depthwise = conv(onnx_model, np.full((4, 9), 127), channels=4, kernel=3, group=4)
    assert found_in(depthwise, pixels(255, 255, 255, 255)) == ()
    model = onnx_model("uint8[2,2] x, uint8[2,2] v", "int32[2,2] y", "y = MatMulInteger(x, v)", {})
    assert saturation(model, {}, protected=False) == ()


def test_linear_layers_are_summed_along_their_inputs(onnx_model):
    w = np.int8([[100, 0], [100, 100], [0, 100]])  # of column 1, numbers 1 and 2
    model = onnx_model("uint8[1,3] x", "int32[1,2] y", "y = MatMulInteger(x, w)", {"w": w})
    (layer,) = saturation(model, {"x": np.uint8([[255, 255, 255]])}, protected=False)
    assert (layer.node, layer.channels, layer.could, layer.does) == ("y", 2, 1, 1)
    assert saturation(model, {}, protected=False)[0].does is None


SCRIPT = """
import json, sys, numpy, onnx, onnxruntime
from edgekd.runtimes.here import HERE
from edgekd.runtimes.onnx_runtime import optimized_graph, tap_everything
from edgekd.runtimes.saturation import saturation
seen = []
for path in sys.argv[1:]:
    x = {"x": numpy.load(path + ".npy")}
    (y,) = onnxruntime.InferenceSession(path).run(None, x)
    optimized = optimized_graph(onnx.load(path).SerializeToString())
    found = saturation(optimized, {**x, **tap_everything(optimized, x)}, protected=HERE.saturates())
    seen.append([y.tolist(), [layer.model_dump() for layer in found]])
print(json.dumps(seen))
"""


@pytest.mark.qemu
def test_exactly_the_named_channels_saturate_without_vnni(qemu, onnx_model, tmp_path):
    cases = []
    for channels, kernel, group in ((4, 1, 1), (5, 1, 1), (3, 3, 1), (8, 3, 2), (16, 3, 1)):
        summed = kernel * kernel * channels // group
        rows = np.zeros((2 * summed, summed), int)
        for row in range(2 * summed):  # one channel for each place of a pair, two for each place
            rows[row, row // 2 : row // 2 + 2] = 127
        x = np.random.default_rng(0).choice(np.uint8([0, 255]), (1, channels, 4, 4))
        cases.append((conv(onnx_model, rows, channels=channels, kernel=kernel, group=group), x))
    paths = [tmp_path / f"{index}.onnx" for index in range(len(cases))]
    for path, (model, x) in zip(paths, cases, strict=True):
        onnx.save(model, path)
        np.save(f"{path}.npy", x)
    here, there = (
        json.loads(subprocess.check_output([*command, "-c", SCRIPT, *paths], stderr=subprocess.DEVNULL))
        for command in ([sys.executable], qemu)
    )
    for (right, named), (wrong, named_there) in zip(here, there, strict=True):
        differ = (np.array(right) != np.array(wrong)).any((0, 2, 3))
        assert named == named_there
        assert named[0]["does"] == differ.sum()
        assert 0 < named[0]["does"] <= named[0]["could"] < len(differ)


class Heavy(nn.Module):
    """Large weights of one sign, which saturate where they can: all layers, or all but a depthwise one."""

    def __init__(self, *, depthwise):
        super().__init__()
        self.stem = nn.Conv2d(3, 16, 3, padding=1)
        self.middle = nn.Conv2d(16, 16, 3, padding=1, groups=16 if depthwise else 1)
        self.linear = nn.Linear(16, 10)
        for parameter in self.parameters():
            nn.init.uniform_(parameter, 0.9, 1.0)

    def forward(self, x):
        x = F.relu(self.middle(F.relu(self.stem(x))))
        return self.linear(x.mean((2, 3)))


OPENVINO_SCRIPT = """
import json, sys, numpy
from pathlib import Path
from edgekd.runtimes.here import HERE
seen = []
for path in sys.argv[2:]:
    with HERE.open(Path(path), runtime="openvino", threads=1) as session:
        seen.append(session.predict(numpy.load(sys.argv[1])).tolist())
print(json.dumps(seen))
"""


@pytest.mark.qemu
def test_7_bits_and_depthwise_layers_do_not_saturate_on_openvino_and_8_bits_do(qemu, tmp_path):
    pytest.importorskip("openvino")
    torch.manual_seed(0)
    images = torch.randint(0, 256, (8, 12, 12, 3), dtype=torch.uint8)
    np.save(tmp_path / "images.npy", images)
    named, paths = [], []
    for bits, ends, depthwise in ((8, 8, False), (7, 7, False), (8, 7, True)):
        scheme = QuantScheme(MinMaxSpec(bits=bits), first_layer_bits=ends, last_layer_bits=ends)
        network = ImageNetwork(PixelGrid.like(), Heavy(depthwise=depthwise))
        student = edgekd.prepare(network, images[:2], scheme=scheme)
        edgekd.calibrate(student, [images])
        folder = tmp_path / f"{bits}-{ends}"
        edgekd.export(student, images, folder)
        lowered = lower_for_openvino(ir.load(folder / "marked.onnx"), metadata={})
        named.append([layer.node for layer in saturation_by_weights(lowered)])
        paths.append(folder / "openvino.onnx")
        ir.save(lowered, paths[-1])
    here, there = (
        json.loads(
            subprocess.check_output(
                [*command, "-c", OPENVINO_SCRIPT, tmp_path / "images.npy", *paths], stderr=subprocess.DEVNULL
            )
        )
        for command in ([sys.executable], qemu)
    )
    assert named == [["stem", "middle", "linear"], [], []]
    assert [a == b for a, b in zip(here, there, strict=True)] == [False, True, True]
