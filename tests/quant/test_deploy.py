import torch
from safetensors.torch import load_file
from torch import nn

from edgekd.quant.calibrate import calibrate
from edgekd.quant.calibrated import CalibratedQuantizer
from edgekd.quant.codebook import CodebookSpec
from edgekd.quant.deploy import deploy
from edgekd.quant.dorefa import DorefaSpec
from edgekd.quant.minmax import MinMaxSpec
from edgekd.quant.placement import activation_quantizers, weight_quantizers
from edgekd.quant.prepare import prepare
from edgekd.quant.scheme import QuantScheme
from edgekd.quant.student import WEIGHTS, save_student


class Twice(nn.Module):
    """Calls one layer twice, behind a ReLU6."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Conv2d(4, 4, 3, padding=1)

    def forward(self, x):
        for _ in range(2):
            x = nn.functional.relu6(self.layer(x))
        return x


def test_deploy_leaves_grids_alone_and_remembers_their_bounds():
    torch.manual_seed(0)
    x = 20 * torch.randn(8, 4, 6, 6)
    spec = DorefaSpec(bits=4)
    scheme = QuantScheme(weights=spec, activations=MinMaxSpec(), first_layer_bits=4, last_layer_bits=4)
    student = prepare(Twice(), x, scheme=scheme)
    calibrate(student, [x], "minmax")
    student(x)  # train mode: the ranges move
    expected = student.eval()(x)
    deploy(student.train())
    assert not student.training
    assert torch.equal(student(x), expected)
    ((layer, weights),) = weight_quantizers(student).values()
    quantizers = [weights, *activation_quantizers(student).values()]
    assert {type(quantizer) for quantizer in quantizers} == {CalibratedQuantizer}
    assert [quantizer.largest_scale for quantizer in quantizers] == [None, None, 6 / 255, 6 / 255]
    codes = layer.weight / weights.per_channel(weights.scale, layer.weight)
    assert {abs(round(code)) % 2 for code in codes.flatten().tolist()} == {1}  # odd, and exact as they are
    assert torch.equal(layer.weight, layer.parametrizations["weight"].original)


def test_layers_that_share_a_weight_keep_a_grid_each(tmp_path):
    torch.manual_seed(0)
    first, second = nn.Linear(6, 6), nn.Linear(6, 6)
    second.weight = first.weight
    network = nn.Sequential(first, nn.ReLU(), second, nn.ReLU(), nn.Linear(6, 3))
    x = torch.randn(16, 6)
    scheme = QuantScheme(weights=CodebookSpec(bits=2))
    student, loaded = (prepare(network, x, scheme=scheme).eval() for _ in range(2))
    calibrate(student, [x])
    expected = student(x)
    save_student(tmp_path, student)
    loaded.load_state_dict(load_file(tmp_path / WEIGHTS))
    for each in (student, loaded):
        deploy(each)
        assert torch.equal(each(x), expected)
