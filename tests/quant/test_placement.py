"""Where quantizers go, for the blocks that networks are made of, under every profile."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.nn.utils import parametrizations

from edgekd.core.profile import PROFILES
from edgekd.errors import SchemeError
from edgekd.quant.lsq import LsqSpec
from edgekd.quant.placement import activation_quantizers, weight_quantizers
from edgekd.quant.prepare import prepare
from edgekd.quant.scheme import QuantScheme
from edgekd.zoo.mobilenet_v2 import InvertedResidual
from edgekd.zoo.pixels import ImageNetwork, PixelGrid
from edgekd.zoo.resnet_cifar import BasicBlock

UNSIGNED, HALF, SIGNED = (0, 255), (0, 127), (-128, 127)


class SqueezeExcite(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(4, 8, 1)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.squeeze = nn.Conv2d(8, 4, 1)
        self.excite = nn.Conv2d(4, 8, 1)

    def forward(self, x):
        x = F.relu(self.conv(x))
        return x * torch.sigmoid(self.excite(F.relu(self.squeeze(self.pool(x)))))


def basic():
    return BasicBlock(4, 4, stride=1)


def option_a():
    return BasicBlock(4, 8, stride=2)


def inverted():
    return InvertedResidual(4, 4, expansion=2, stride=1)


def placed(network, profile="ort", **scheme):
    student = prepare(network, torch.randn(2, 4, 8, 8), profile, scheme=QuantScheme(**scheme))
    return activation_quantizers(student)


def grids(network, profile="ort", **scheme):
    return {mark: (q.grid.qmin, q.grid.qmax) for mark, q in placed(network, profile, **scheme).items()}


EXPECTED = {
    ("basic", "ort"): {"x": SIGNED, "conv1": UNSIGNED, "conv2": SIGNED, "add": UNSIGNED},
    ("basic", "portable"): {"x": SIGNED, "conv1": HALF, "conv2": SIGNED, "add": HALF},
    # conv2 + skip + ReLU is one kernel: nothing is quantized between them, and the last sum is not read
    ("basic", "tensorrt"): {"x": SIGNED, "conv1": HALF},
    ("option_a", "ort"): {"x": SIGNED, "conv1": UNSIGNED, "conv2": SIGNED, "add": UNSIGNED},
    ("option_a", "portable"): {"x": SIGNED, "conv1": HALF, "conv2": SIGNED, "add": HALF},
    ("option_a", "tensorrt"): {"x": SIGNED, "conv1": HALF},
    ("inverted", "ort"): {
        "x": SIGNED,
        "expand.conv": UNSIGNED,
        "depthwise.conv": UNSIGNED,
        "project.conv": SIGNED,
        "add": SIGNED,
    },
    ("inverted", "portable"): {
        "x": SIGNED,
        "expand.conv": HALF,
        "depthwise.conv": HALF,
        "project.conv": SIGNED,
        "add": SIGNED,
    },
    ("inverted", "tensorrt"): {"x": SIGNED, "expand.conv": HALF, "depthwise.conv": HALF},
    ("squeeze_excite", "ort"): {
        "x": SIGNED,
        "conv": UNSIGNED,
        "pool": UNSIGNED,
        "squeeze": UNSIGNED,
        "excite": SIGNED,
        "sigmoid": UNSIGNED,
        "mul": UNSIGNED,
    },
    ("squeeze_excite", "portable"): {
        "x": SIGNED,
        "conv": HALF,
        "pool": HALF,
        "squeeze": HALF,
        "excite": SIGNED,
        "sigmoid": HALF,
        "mul": HALF,
    },
    ("squeeze_excite", "tensorrt"): {"x": SIGNED, "conv": HALF, "pool": HALF, "squeeze": HALF},
}
BLOCKS = {"basic": basic, "option_a": option_a, "inverted": inverted, "squeeze_excite": SqueezeExcite}


def test_every_block_is_placed_under_every_profile():
    assert set(EXPECTED) == {(block, profile) for block in BLOCKS for profile in PROFILES}


@pytest.mark.parametrize(("block", "profile"), EXPECTED, ids="-".join)
def test_place_quantizes_exactly_these_tensors(block, profile):
    assert grids(BLOCKS[block](), profile) == EXPECTED[block, profile]


@pytest.mark.parametrize(("profile", "qmax"), [("ort", 255), ("portable", 127), ("tensorrt", 127)])
def test_relu6_grids_end_by_6(profile, qmax):
    bounds = {mark: quantizer.largest_scale for mark, quantizer in placed(inverted(), profile).items()}
    assert bounds.pop("expand.conv") == bounds.pop("depthwise.conv") == 6 / qmax
    assert set(bounds.values()) == {None}


def test_free_standing_relu6_grids_end_by_6():
    class Free(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = nn.Conv2d(4, 4, 1)

        def forward(self, x):
            return F.relu6(F.max_pool2d(self.conv(x), 2))

    found = placed(Free())
    assert found["conv"].largest_scale is None
    assert found["clip"].largest_scale == 6 / 255


def test_the_residual_stream_has_bits_of_its_own():
    low = {"weights": LsqSpec(bits=4), "activations": LsqSpec(bits=4)}
    found = grids(basic(), **low)
    assert found == {"x": SIGNED, "conv1": (0, 15), "conv2": SIGNED, "add": UNSIGNED}
    found = grids(basic(), **low, residual_bits=4)
    assert found == {"x": (-8, 7), "conv1": (0, 15), "conv2": (-8, 7), "add": (0, 15)}


class Stem(nn.Module):
    """A residual block whose input comes through ``between``, or goes around it through ``skip``."""

    def __init__(self, between, skip):
        super().__init__()
        self.stem, self.conv = nn.Conv2d(4, 4, 1), nn.Conv2d(4, 4, 1)
        self.between, self.skip = between, skip

    def forward(self, x):
        x = self.between(F.relu(self.stem(x)))
        return self.conv(x) + self.skip(x)


@pytest.mark.parametrize("profile", ["ort", "tensorrt"])
@pytest.mark.parametrize("place", ["between", "skip"])
@pytest.mark.parametrize("copies", [nn.MaxPool2d(3, 1, 1), nn.Identity(), nn.Dropout(0.1)], ids=repr)
def test_the_residual_stream_has_its_bits_through_what_copies_it(copies, place, profile):
    ways = {"between": nn.Identity(), "skip": nn.Identity(), place: copies}
    found = grids(Stem(**ways), profile, activations=LsqSpec(bits=4))
    assert found.pop("stem") == (UNSIGNED if profile == "ort" else HALF)
    assert set(found) == ({"x", "conv", "add"} if profile == "ort" else {"x"})


def test_the_sum_of_a_transformer_has_residual_bits():
    """Linear layers run on rows: a reshape stands between them and the sum."""

    class Block(nn.Module):
        def __init__(self):
            super().__init__()
            self.embed, self.inner = nn.Linear(8, 8), nn.Linear(8, 8)

        def forward(self, x):
            x = self.embed(x)
            return x + self.inner(x)

    found = grids(Block(), activations=LsqSpec(bits=4))
    assert found == {"x": (-8, 7), "embed": SIGNED, "inner": SIGNED, "add": SIGNED}


@pytest.mark.parametrize("clamp", [nn.ReLU(), nn.ReLU6()], ids=repr)
def test_a_clamp_behind_a_linear_layer_on_rows_uses_all_codes(clamp):
    found = grids(nn.Sequential(nn.Linear(8, 8), clamp, nn.Linear(8, 3)), activations=LsqSpec(bits=4))
    assert found == {"input_1": (-8, 7), "0": (0, 15)}


def test_tensorrt_quantizes_a_sum_that_the_next_block_reads():
    found = grids(nn.Sequential(basic(), basic()), "tensorrt", residual_bits=4)
    assert found == {"input_1": (-8, 7), "0.conv1": HALF, "0.add": (0, 15), "1.conv1": HALF}


def test_tensorrt_quantizes_once_what_is_copied_for_its_readers():
    class Copies(nn.Module):
        def __init__(self, left):
            super().__init__()
            self.stem, self.left, self.right = nn.Conv2d(4, 4, 1), left, nn.Conv2d(4, 4, 1)

        def forward(self, x):
            x = F.max_pool2d(F.relu(self.stem(x)), 2)
            return self.left(F.pad(x, (1, 1, 1, 1))[:, :, 1:-1, 1:-1]) + self.right(x)

    assert grids(Copies(nn.Conv2d(4, 4, 1)), "tensorrt") == {"x": SIGNED, "stem": HALF, "left": SIGNED}
    floating = grids(Copies(nn.GELU()), "tensorrt")  # it reads numbers: none are rounded for it
    assert floating == {"x": SIGNED, "maxpool": HALF, "left": SIGNED}


def test_first_and_last_layer_have_bits_of_their_own():
    network = nn.Sequential(*(nn.Conv2d(4, 4, 1) for _ in range(4)))
    scheme = QuantScheme(weights=LsqSpec(bits=3), first_layer_bits=8, last_layer_bits=5)
    student = prepare(network, torch.randn(2, 4, 8, 8), scheme=scheme)
    bits = {mark: quantizer.grid.bits for mark, (_, quantizer) in weight_quantizers(student).items()}
    assert bits == {"0.weight": 8, "1.weight": 3, "2.weight": 3, "3.weight": 5}


def test_every_head_is_a_last_layer_and_every_stem_a_first():
    class Heads(nn.Module):
        def __init__(self):
            super().__init__()
            self.left, self.right, self.body = (nn.Conv2d(4, 4, 1) for _ in range(3))
            self.classes, self.boxes = nn.Linear(4 * 8 * 8, 3), nn.Linear(4 * 8 * 8, 2)

        def forward(self, x):
            y = F.relu(self.body(F.relu(self.left(x)) + F.relu(self.right(x))))
            return self.classes(y.view(x.size(0), -1)), self.boxes(y.flatten(1))

    scheme = QuantScheme(weights=LsqSpec(bits=3), first_layer_bits=8, last_layer_bits=5)
    student = prepare(Heads(), torch.randn(2, 4, 8, 8), scheme=scheme)
    bits = {mark: quantizer.grid.bits for mark, (_, quantizer) in weight_quantizers(student).items()}
    stems, heads = {"left.weight": 8, "right.weight": 8}, {"classes.weight": 5, "boxes.weight": 5}
    assert bits == {**stems, "body.weight": 3, **heads}


def test_weights_have_one_scale_per_output_channel():
    student = prepare(nn.Sequential(nn.Conv2d(4, 6, 3)), torch.randn(2, 4, 8, 8))
    ((layer, quantizer),) = weight_quantizers(student).values()
    assert quantizer.scale.shape == (6,)
    assert (quantizer.grid.qmin, quantizer.grid.qmax, quantizer.axis) == (-127, 127, 0)
    assert isinstance(layer, nn.Conv2d)


def test_pixels_are_their_own_quantizer():
    network = ImageNetwork(PixelGrid.like(), nn.Sequential(nn.Conv2d(3, 4, 1), nn.ReLU()))
    student = prepare(network, torch.zeros((2, 8, 8, 3), dtype=torch.uint8))
    assert list(activation_quantizers(student)) == ["0"]


def test_logits_stay_float_unless_something_clamps_them():
    def behind_the_last_layer(*modules):
        return grids(nn.Sequential(nn.Flatten(), nn.Linear(256, 3), *modules))

    assert behind_the_last_layer() == {"input_1": SIGNED}
    assert behind_the_last_layer(nn.Flatten()) == {"input_1": SIGNED}
    assert behind_the_last_layer(nn.BatchNorm1d(3)) == {"input_1": SIGNED}
    assert behind_the_last_layer(nn.ReLU()) == {"input_1": SIGNED, "1": UNSIGNED}
    assert behind_the_last_layer(nn.ReLU6()) == {"input_1": SIGNED, "1": UNSIGNED}


def test_sums_are_signed_if_one_of_their_inputs_is():
    class Sums(nn.Module):
        def __init__(self, number, **keywords):
            super().__init__()
            self.conv = nn.Conv2d(4, 4, 1)
            self.number, self.keywords = number, keywords

        def forward(self, x):
            return torch.add(F.relu(self.conv(x)), self.number, **self.keywords)

    assert grids(Sums(3.0))["add"] == UNSIGNED
    assert grids(Sums(-3.0))["add"] == SIGNED
    assert grids(Sums(3.0, alpha=-1))["add"] == SIGNED


def test_a_module_used_twice_is_quantized_once_and_its_results_twice():
    class Twice(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = nn.Conv2d(4, 4, 1)

        def forward(self, x):
            return self.conv(self.conv(x))

    student = prepare(Twice(), torch.randn(2, 4, 8, 8))
    assert list(activation_quantizers(student)) == ["x", "conv", "conv_2"]
    assert list(weight_quantizers(student)) == ["conv.weight"]


def test_what_is_computed_twice_from_the_same_gets_one_quantizer():
    """Export merges it: two quantizers on one convolution would leave that in float."""

    class Again(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.drop = nn.Conv2d(4, 4, 1), nn.Dropout()
            self.first, self.second = nn.Sigmoid(), nn.Sigmoid()

        def forward(self, x):
            y = self.first(self.conv(x)) * self.second(self.conv(x))
            return self.drop(y) + self.drop(y)

    student = prepare(Again(), torch.randn(2, 4, 8, 8))
    assert list(activation_quantizers(student)) == ["x", "conv", "first", "mul", "add"]
    assert [str(node.target) for node in student.graph.nodes].count("drop") == 2  # each draws for itself


class Beside(nn.Module):
    """A convolution whose result is read by ``operation`` and by a sum."""

    def __init__(self, operation):
        super().__init__()
        self.conv = nn.Conv2d(4, 4, 1)
        self.operation = operation

    def forward(self, x):
        x = self.conv(x)
        return self.operation(x) + x


def test_a_relu_beside_a_skip_shares_the_grid_of_what_both_read():
    assert grids(Beside(nn.ReLU())) == {"x": SIGNED, "conv": SIGNED, "add": SIGNED}


def test_a_relu6_beside_a_skip_gets_a_grid_of_its_own():
    found = {"x": SIGNED, "conv": SIGNED, "operation": UNSIGNED, "add": SIGNED}
    assert grids(Beside(nn.ReLU6())) == found


@pytest.mark.parametrize("shape", [(2, 4, 8, 8), (2, 4, 8), (2, 4)], ids=len)
def test_a_batch_norm_that_follows_no_layer_gets_one(shape):
    """As in a pre-activation network: a depthwise convolution that changes nothing carries it."""
    norm = nn.BatchNorm2d(4) if len(shape) == 4 else nn.BatchNorm1d(4)
    student = prepare(nn.Sequential(nn.Sigmoid(), norm, nn.ReLU()), torch.randn(shape))
    marks = {mark: q.grid.qmin for mark, q in activation_quantizers(student).items()}
    assert marks == {"input_1": -128, "0": 0, "1_carrier": 0} | (
        {"1_carrier": -128} if len(shape) == 2 else {}
    )
    assert list(weight_quantizers(student)) == ["1_carrier.weight"]


def test_weights_behind_a_parametrization_are_quantized():
    student = prepare(
        nn.Sequential(parametrizations.weight_norm(nn.Conv2d(4, 4, 1))), torch.randn(2, 4, 8, 8)
    )
    assert list(weight_quantizers(student)) == ["0.weight"]


def test_place_refuses_weights_that_the_input_makes():
    class Dynamic(nn.Module):
        def forward(self, x):
            return F.conv2d(x, x.mean((2, 3))[:1, :, None, None])

    with pytest.raises(SchemeError, match="no quantization rule for conv2d") as error:
        placed(Dynamic())
    assert "test_placement.py" in error.value.where
