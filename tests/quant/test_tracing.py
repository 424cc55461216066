import copy

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from edgekd.errors import ExportError
from edgekd.quant.operators import onnx_op
from edgekd.quant.tracing import trace
from edgekd.zoo.pixels import ImageNetwork, PixelGrid


class Composite(nn.Module):
    def __init__(self):
        super().__init__()
        self.swish = nn.Hardswish()
        self.silu = nn.SiLU()

    def forward(self, x):
        return self.silu(self.swish(x) + F.hardsigmoid(x))


class Branching(nn.Module):
    def forward(self, x):
        if x.sum() > 0:
            return x
        return -x


X = torch.randn(2, 3, 8, 8, generator=torch.Generator().manual_seed(0))
PIXELS = torch.zeros((2, 8, 8, 3), dtype=torch.uint8)


def spoken(traced):
    modules = dict(traced.named_modules())
    return [onnx_op(node, modules) for node in traced.graph.nodes if node.op.startswith("call_")]


def assert_same(network, x=X):
    """The traced network computes what the network computes, also for another batch size."""
    network.eval()
    traced = trace(copy.deepcopy(network), x).eval()
    for images in (x, torch.cat([x, x.flip(0)[:1]])):
        torch.testing.assert_close(traced(images), network(images), atol=1e-5, rtol=1e-5)
    return traced


def test_trace_keeps_modules_and_their_paths():
    network = nn.Sequential(nn.Conv2d(3, 4, 1), nn.Sequential(nn.ReLU()))
    assert [name for name, _ in trace(network, X).named_modules()] == ["", "0", "1", "1.0"]


def test_trace_sees_the_pixel_grid_as_one_operation():
    traced = trace(ImageNetwork(PixelGrid.like(), nn.Sequential(nn.Conv2d(3, 4, 1))), PIXELS)
    assert spoken(traced) == ["Pixels", "Conv"]


def test_trace_names_the_line_that_depends_on_values():
    with pytest.raises(ExportError, match="TraceError") as error:
        trace(Branching(), X)
    assert "test_tracing.py" in error.value.where
    assert error.value.where.endswith("if x.sum() > 0:")


def test_trace_leaves_only_operators_with_kernels():
    assert set(spoken(assert_same(Composite()))) == {"Add", "Mul", "Clip", "Sigmoid"}


class Shapes(nn.Module):
    """Sizes in arithmetic, in conditions and in loops; the batch size in a product."""

    def forward(self, x):
        b, c, h, w = x.shape
        assert h == w
        if c % 2:
            x = torch.cat([x, x[:, :1]], 1)
        x = x.view(x.shape[0] * x.shape[1], h * w).view(b, -1, w)
        for _ in range(x.size(-1) // 4):
            x = x + 1.0
        return x.reshape(b, x.shape[1] // 4, 4, -1).permute(0, 2, 1, 3).flatten(0, 1).unflatten(0, (b, 4))


def test_trace_carries_sizes_out_and_leaves_the_batch_free():
    assert "Shape" not in spoken(assert_same(Shapes()))


class Inplace(nn.Module):
    """The sum goes into a tensor that has another name and is read again."""

    def __init__(self):
        super().__init__()
        self.relu = nn.ReLU(inplace=True)

    def forward(self, x):
        y = x * 2.0
        kept = y
        y += 1.0
        y = self.relu(y).mul_(0.5)
        return F.relu(kept - 1.0, inplace=True) + y


def test_trace_follows_tensors_that_are_overwritten():
    assert_same(Inplace())


class Modes(nn.Module):
    """Dropout as a function, drawn paths, and a dropout that is always on."""

    def __init__(self, always=False):
        super().__init__()
        self.always = always
        self.path = DropPath()

    def forward(self, x):
        return self.path(F.dropout(x, 0.5, training=self.always or self.training))


class DropPath(nn.Module):
    def forward(self, x):
        if not self.training:
            return x
        return x * (torch.rand(len(x), 1, 1, 1) < 0.5)


def test_functional_dropout_and_drawn_paths_follow_the_mode():
    traced = assert_same(Modes())
    assert spoken(traced) == ["Identity", "Identity"]
    torch.manual_seed(0)
    zeros = (traced.train()(torch.ones(64, 3, 8, 8)) == 0).float()
    assert 0.6 < zeros.mean() < 0.9
    assert zeros.flatten(1).amin(1).sum() > 10  # whole samples are dropped as well
    assert torch.equal(traced.eval()(X), X)


class Hidden(nn.Module):
    """Names that graph modules use for something else."""

    def __init__(self):
        super().__init__()
        self.code = nn.Conv2d(3, 4, 1)
        self.graph = nn.ModuleDict({"meta": nn.Conv2d(4, 4, 1)})

    def forward(self, x):
        return self.graph["meta"](self.code(x))


def test_modules_with_names_of_something_else_are_found():
    assert spoken(assert_same(Hidden())) == ["Conv", "Conv"]


class Functional(nn.Module):
    """Weights in functions: standardized, reused, handed to a norm; and one that stands alone."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(3, 3, 3, 3))
        self.norm = nn.InstanceNorm2d(3, affine=True)
        self.gain = nn.Parameter(torch.randn(3))
        self.head = nn.Parameter(torch.randn(5, 3))

    def forward(self, x):
        w = self.weight
        w = (w - w.mean((1, 2, 3), keepdim=True)) / w.std((1, 2, 3), keepdim=True)
        x = F.conv2d(F.conv2d(x, w, padding=1), w, padding=1) * torch.sigmoid(self.gain).view(-1, 1, 1)
        x = F.prelu(self.norm(x), self.gain)
        return F.linear(x.amax((2, 3)), self.head)


def test_weights_in_functions_become_layers_that_train():
    traced = assert_same(Functional())
    assert spoken(traced).count("Conv") == 3  # two of the user's with one weight, one that scales the norm
    assert spoken(traced).count("Gemm") == 1
    traced(X).sum().backward()
    assert all(parameter.grad is not None for parameter in traced.parameters() if parameter.dim() > 1)


class Attention(nn.Module):
    """Patches and a class token, attention as a function, mixing by letters."""

    def __init__(self):
        super().__init__()
        self.patches = nn.Conv2d(3, 8, 4, stride=4)
        self.token = nn.Parameter(torch.randn(1, 1, 8))
        self.qkv = nn.Linear(8, 24)

    def forward(self, x):
        x = self.patches(x).flatten(2).transpose(1, 2)
        x = torch.cat([self.token.expand(x.shape[0], -1, -1), x], 1)
        q, k, v = self.qkv(x).reshape(x.shape[0], -1, 3, 2, 4).permute(2, 0, 3, 1, 4).unbind(0)
        y = F.scaled_dot_product_attention(q, k, v) + torch.einsum("bhnd,bhmd->bhnm", q, k) @ v.tanh()
        return torch.roll(y, 1, 2).transpose(1, 2).flatten(2).mean(1)


def test_attention_becomes_matrix_products():
    found = set(spoken(assert_same(Attention())))
    assert found >= {"MatMul", "Softmax", "Gemm", "Concat", "Expand"}


class Elementwise(nn.Module):
    def forward(self, x):
        bounds = x.clamp_max(0.5) + torch.clamp_max(x, -0.5) + x.clamp_min(0.1) + torch.clamp_min(x, -0.1)
        return bounds.add(x, alpha=0.5) + torch.add(x, 2.0, alpha=-3) + torch.sub(bounds, x, alpha=2)


def test_one_sided_clamps_and_sums_with_a_factor_become_plain_operators():
    traced = assert_same(Elementwise())
    assert set(spoken(traced)) == {"Add", "Mul", "Relu"}
    assert all(node.kwargs.get("alpha", 1) == 1 for node in traced.graph.nodes)


@pytest.mark.parametrize(
    "pool",
    [
        nn.AvgPool2d(3, stride=2, ceil_mode=True),
        nn.AvgPool2d((3, 5), (2, 3), (1, 2), ceil_mode=True),
        nn.AvgPool2d(2, stride=3, padding=1, ceil_mode=True),
        nn.AvgPool2d(3, stride=4, padding=1, ceil_mode=True),
        nn.AvgPool2d(1, stride=3, ceil_mode=True),
    ],
)
def test_average_pools_with_cut_windows_count_what_is_left_of_them(pool):
    traced = assert_same(nn.Sequential(pool))
    (pooled,) = (node for node in traced.graph.nodes if node.target is F.avg_pool2d)
    assert pooled.args[3:6] == (0, True, False)  # padding, ceil_mode, count_include_pad


def test_the_mean_of_a_cut_window_is_that_of_its_pixels():
    x = torch.arange(1.0, 10.0).reshape(1, 1, 3, 3).expand(2, 3, 3, 3)
    # [[1 2 | 3], [4 5 | 6], [7 8 | 9]]: (1 + 2 + 4 + 5) / 4, (3 + 6) / 2, (7 + 8) / 2, 9
    traced = trace(nn.Sequential(nn.AvgPool2d(2, ceil_mode=True)), x)
    assert traced(x)[0, 0].tolist() == [[3.0, 4.5], [7.5, 9.0]]


def test_average_pools_with_whole_windows_stay_as_they_are():
    traced = assert_same(nn.Sequential(nn.AvgPool2d(2, ceil_mode=True)))
    (pooled,) = (node for node in traced.graph.nodes if node.target is F.avg_pool2d)
    assert pooled.args[3:6] == (0, True, True)
    own = assert_same(
        nn.Sequential(nn.AvgPool2d(3, 2, 1), nn.AvgPool2d(3, ceil_mode=True, count_include_pad=False))
    )
    assert spoken(own) == ["AveragePool", "AveragePool"]
    assert not any(node.op == "call_function" for node in own.graph.nodes)


class Conditional(nn.Module):
    def forward(self, x):
        return x if x.shape[0] > 1 else x * 2.0


class Quarter(nn.Module):
    """Nothing is cut off from batches of 2 or 3."""

    def forward(self, x):
        return x[:, x.shape[0] // 4 :]


@pytest.mark.parametrize(
    ("network", "line"),
    [(Conditional, "return x if x.shape[0] > 1 else x * 2.0"), (Quarter, "return x[:, x.shape[0] // 4 :]")],
)
def test_a_batch_size_that_decides_something_is_refused_with_its_line(network, line):
    with pytest.raises(ExportError, match="the batch size decides") as error:
        trace(network(), X)
    assert error.value.where.endswith(line)
