"""Where OpenVINO's dialect differs from ONNX Runtime's: weights, pixels, and sums that are rounded once."""

import numpy as np
import onnx
import onnx_ir as ir
import pytest
import torch
from torch import nn

from edgekd.export.export_marked import write_marked
from edgekd.lower.float_reference import activation_marks
from edgekd.lower.marked import MARKED
from edgekd.lower.openvino_dialect import lower_for_openvino
from edgekd.quant.calibrate import calibrate
from edgekd.quant.lsq import LsqSpec
from edgekd.quant.prepare import prepare
from edgekd.quant.scheme import QuantScheme
from edgekd.quant.twn import TwnSpec
from edgekd.runtimes.here import HERE
from edgekd.runtimes.layer_reference import compare_layers
from edgekd.runtimes.openvino_coverage import openvino_coverage, shown_nodes
from edgekd.runtimes.openvino_target import OpenVinoTarget
from edgekd.runtimes.stages import write_lowered
from edgekd.zoo.mobilenet_v2 import InvertedResidual
from edgekd.zoo.pixels import ImageNetwork, PixelGrid
from edgekd.zoo.resnet import BasicBlock
from edgekd.zoo.resnet_cifar import BasicBlock as CifarBlock

IMAGES = torch.randint(0, 256, (8, 9, 9, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


def _network(padding: int, zero_point: int) -> nn.Module:
    torch.manual_seed(0)
    body = nn.Sequential(
        nn.Conv2d(3, 16, 3, padding=padding), nn.ReLU(), nn.Conv2d(16, 16, 3), nn.ReLU(), nn.Flatten(),
        nn.Linear(16 * (5 + 2 * padding) ** 2, 4),
    )  # fmt: skip
    return ImageNetwork(PixelGrid(1 / 64, zero_point), body)


@pytest.fixture
def lowered(export_integer):
    """Return a function that exports a network and lowers it for OpenVINO."""

    def of(network, weights=LsqSpec()):  # noqa: B008  it is frozen
        run = export_integer(network, IMAGES, scheme=QuantScheme(weights=weights))
        return run, ir.to_proto(lower_for_openvino(ir.load(run.marked), metadata={})).SerializeToString()

    return of


@pytest.fixture
def marked_residual(with_statistics, tmp_path):
    torch.manual_seed(0)
    body = nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.MaxPool2d(3, stride=2, padding=1),
        BasicBlock(8, 8, stride=1), BasicBlock(8, 16, stride=2), CifarBlock(16, 32, stride=2),
        InvertedResidual(32, 32, expansion=2, stride=1), nn.AdaptiveAvgPool2d(1), nn.Flatten(),
        nn.Linear(32, 4),
    )  # fmt: skip
    student = prepare(with_statistics(ImageNetwork(PixelGrid.like(), body)), IMAGES[:2], "tensorrt")
    calibrate(student, [IMAGES], "minmax")
    write_marked(tmp_path, student, IMAGES)
    return tmp_path / MARKED


@pytest.mark.parametrize(
    ("weights", "stored"), [(LsqSpec(bits=8), 8), (LsqSpec(bits=4), 4), (LsqSpec(bits=3), 4), (TwnSpec(), 4)]
)
def test_weights_are_stored_in_8_or_4_bits_and_run_on_integers(lowered, weights, stored):
    _, model = lowered(_network(1, 114), weights)
    kinds = {init.name: init.data_type for init in onnx.load_from_string(model).graph.initializer}
    expected = onnx.TensorProto.INT8 if stored == 8 else onnx.TensorProto.INT4
    assert kinds["2.w"] == expected
    nodes = shown_nodes(HERE.shown(model, runtime="openvino"))
    assert [node.precision for node in nodes if node.op == "Convolution"] == ["u8", "u8"]


@pytest.mark.parametrize("padding", [0, 1])
@pytest.mark.parametrize("zero_point", [0, 114, 255])
def test_pixels_of_any_zero_point_enter_an_integer_convolution(lowered, padding, zero_point):
    run, model = lowered(_network(padding, zero_point))
    assert openvino_coverage(shown_nodes(HERE.shown(model, runtime="openvino")), {}).fallbacks == ()
    with HERE.open(model) as session, HERE.open(run.model) as exact:
        feeds = {session.inputs[0].name: run.inputs}
        (found,), (expected,) = session.run(feeds).values(), exact.run(feeds).values()
    assert np.array_equal(found, expected)  # ONNX Runtime reads both dialects: the shift is exact


@pytest.mark.parametrize("padding", [0, 1])
def test_with_a_batch_of_its_own_an_engine_reads_the_image_as_it_comes(lowered, padding, tmp_path):
    run, _ = lowered(_network(padding, 114))
    write_lowered(run.marked, tmp_path / "model.onnx", target=OpenVinoTarget(batch=1), metadata={})
    nodes = shown_nodes(HERE.shown(tmp_path / "model.onnx", runtime="openvino"))
    assert "Transpose" not in {node.op for node in nodes}


def test_every_code_of_a_residual_network_is_the_trained_one_where_sums_are_rounded_once(
    marked_residual, tmp_path
):
    """Shortcuts of all kinds: none, a projection, a slice with padding; a max pool and a ReLU6 besides."""
    path = tmp_path / "model.onnx"
    ir.save(lower_for_openvino(ir.load(marked_residual), metadata={}), path)
    feeds = {"image": IMAGES.numpy()}
    inside = OpenVinoTarget().look_inside(path, feeds, marked=marked_residual)
    assert inside.coverage.fallbacks == ()  # all of these sums are fused
    layers = compare_layers(marked_residual, inside.codes, feeds, inside.tensors)
    assert len(inside.codes) == len(activation_marks(ir.load(marked_residual)))
    assert [layer for layer in layers if layer.off_by_more] == []
