import json
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from edgekd.core.grid import IntGrid
from edgekd.errors import SchemeError
from edgekd.quant.fake_quant import fake_quant

GOLDEN = json.loads((Path(__file__).parents[1] / "golden" / "fake_quant.json").read_text())

floats = st.floats(-1e4, 1e4, width=32, allow_subnormal=False)
scales = st.floats(2.0**-10, 2.0**10, width=32)
grids = st.sampled_from(
    [IntGrid(0, 255), IntGrid(-128, 127), IntGrid(-127, 127), IntGrid(0, 15), IntGrid(-1, 1)]
)


@pytest.mark.parametrize("case", GOLDEN, ids=lambda case: case["id"])
def test_fake_quant_gives_the_golden_values_and_gradients(case):
    x = torch.tensor(case["x"], dtype=torch.float32, requires_grad=True)
    scale = torch.tensor(case["scale"], dtype=torch.float32, requires_grad=True)
    y = fake_quant(x, scale, IntGrid(case["qmin"], case["qmax"]), axis=case["axis"])
    y.backward(torch.tensor(case["grad"], dtype=torch.float32))
    for value, name in ((y.detach(), "y"), (x.grad, "grad_x"), (scale.grad, "grad_scale")):
        torch.testing.assert_close(value, torch.tensor(case[name], dtype=torch.float32), atol=1e-5, rtol=1e-6)


@pytest.mark.parametrize(
    ("axis", "shape", "expected"), [(None, (3,), "()"), (0, (), "(3,)"), (0, (2,), "(3,)"), (1, (3,), "(2,)")]
)
def test_fake_quant_refuses_a_scale_of_another_shape(axis, shape, expected):
    with pytest.raises(SchemeError) as error:
        fake_quant(torch.zeros(3, 2), torch.ones(shape), IntGrid(-7, 7), axis=axis, mark="stem.weight")
    assert error.value.what == f"quantizer 'stem.weight': scale has shape {shape}, expected {expected}"


def test_fake_quant_computes_no_gradient_that_nobody_asked_for():
    x, scale = torch.ones(4), torch.tensor(0.1, requires_grad=True)
    fake_quant(x, scale, IntGrid(-7, 7)).sum().backward()
    assert x.grad is None
    assert scale.grad is not None
    x, scale = torch.ones(4, requires_grad=True), torch.tensor(0.1)
    fake_quant(x, scale, IntGrid(-7, 7)).sum().backward()
    assert x.grad is not None
    assert scale.grad is None


@given(st.lists(floats, min_size=1, max_size=50), scales, grids)
def test_fake_quant_lands_on_the_grid(values, scale, grid):
    x, scale = torch.tensor(values, dtype=torch.float32), torch.tensor(scale, dtype=torch.float32)
    y = fake_quant(x, scale, grid)
    codes = (y / scale).round()
    assert torch.equal(codes * scale, y)
    assert codes.min() >= grid.qmin and codes.max() <= grid.qmax


@given(st.lists(floats, min_size=1, max_size=50), scales, grids)
def test_fake_quant_is_idempotent(values, scale, grid):
    x, scale = torch.tensor(values, dtype=torch.float32), torch.tensor(scale, dtype=torch.float32)
    once = fake_quant(x, scale, grid)
    assert torch.equal(fake_quant(once, scale, grid), once)


@given(st.lists(floats, min_size=1, max_size=50), scales, grids)
def test_fake_quant_is_off_by_at_most_half_a_step_inside_the_range(values, scale, grid):
    x = torch.tensor(values, dtype=torch.float64).clamp(grid.qmin * scale, grid.qmax * scale).float()
    error = (fake_quant(x, torch.tensor(scale, dtype=torch.float32), grid) - x).abs().max()
    assert error <= scale * 0.5001


@given(st.lists(floats, min_size=1, max_size=50), scales, st.integers(2, 8))
def test_narrow_grids_are_symmetric(values, scale, bits):
    """A BatchNorm with a negative gain flips the sign of the codes."""
    grid = IntGrid(1 - 2 ** (bits - 1), 2 ** (bits - 1) - 1)
    x, scale = torch.tensor(values, dtype=torch.float32), torch.tensor(scale, dtype=torch.float32)
    assert torch.equal(fake_quant(-x, scale, grid), -fake_quant(x, scale, grid))
