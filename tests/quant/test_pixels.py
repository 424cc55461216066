import onnx
import torch
from torch import nn

from edgekd.export.onnx_file import export_onnx
from edgekd.quant.pixels import MarkedPixels
from edgekd.zoo.pixels import ImageNetwork, PixelGrid


def test_marked_pixels_compute_what_the_grid_computes():
    images = torch.randint(0, 256, (2, 5, 6, 3), dtype=torch.uint8)
    assert torch.equal(MarkedPixels(0.02, 114)(images), PixelGrid(0.02, 114)(images))


def test_marked_pixels_export_as_one_mark(tmp_path):
    network = ImageNetwork(MarkedPixels(0.02, 114), nn.Conv2d(3, 2, 1))
    export_onnx(network, torch.zeros((2, 5, 6, 3), dtype=torch.uint8), tmp_path / "marked.onnx")
    mark, conv = onnx.load(tmp_path / "marked.onnx").graph.node
    assert (mark.domain, mark.op_type, conv.op_type) == ("edgekd", "Pixels", "Conv")
    values = {item.name: onnx.helper.get_attribute_value(item) for item in mark.attribute}
    assert values["zero_point"] == 114
    assert values["scale"] == PixelGrid(0.02, 114).scale
