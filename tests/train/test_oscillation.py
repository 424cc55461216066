import pytest
import torch
from torch import nn

from edgekd.quant.placement import weight_quantizers
from edgekd.quant.prepare import prepare
from edgekd.train.options import FreezingSpec
from edgekd.train.oscillation import OscillationFreezer


@pytest.fixture
def layer() -> tuple[nn.Module, nn.Parameter]:
    """A linear layer of three weights on a grid of steps of 1."""
    student = prepare(nn.Sequential(nn.Linear(3, 1, bias=False)), torch.randn(2, 3))
    ((linear, quantizer),) = weight_quantizers(student).values()
    quantizer.set_scale(torch.ones(1))
    weight = linear.parametrizations["weight"].original  # type: ignore[union-attr,index]
    with torch.no_grad():
        weight.copy_(torch.tensor([[0.4, 0.4, 2.0]]))
    return student, weight


def _move(weight: nn.Parameter, values: list[float]) -> None:
    with torch.no_grad():
        weight.copy_(torch.tensor([values]))


def test_a_weight_that_turns_often_is_frozen_at_its_mean_code(
    layer: tuple[nn.Module, nn.Parameter],
) -> None:
    """The first weight's codes are 0, 1, 0, 1, ...: from the second change on it turns in every step.

    m = 0.5: f = 0, 0.5, 0.75 after steps 1, 2, 3; 0.75 is above the threshold of 0.7. The mean code is then
    0.5 * 1 + 0.5 * (0.5 * 0 + 0.5 * (0.5 * 1 + 0.5 * 0)) = 0.625, so it is frozen at 1. The second weight
    grows: it never turns. The third stays.
    """
    student, weight = layer
    freezer = OscillationFreezer(student, FreezingSpec(momentum=0.5, begin=0.7, end=0.7))
    for first, second in ((0.6, 0.6), (0.4, 1.6), (0.6, 2.6)):
        _move(weight, [first, second, 2.0])
        freezer.step(0.0)
    (watched,) = freezer.watched
    assert watched.frequency.tolist() == [[0.75, 0.0, 0.0]]
    assert watched.average.tolist() == [[0.625, 2.125, 2.0]]  # 3/2 + 2/4 + 1/8
    assert watched.frozen.tolist() == [[True, False, False]]
    assert weight.tolist() == [[1.0, pytest.approx(2.6), 2.0]]
    _move(weight, [0.1, 2.6, 2.0])
    freezer.step(0.0)
    assert weight.tolist() == [[1.0, pytest.approx(2.6), 2.0]]


def test_a_frozen_weight_keeps_its_code_when_the_scale_moves(layer: tuple[nn.Module, nn.Parameter]) -> None:
    student, weight = layer
    freezer = OscillationFreezer(student, FreezingSpec())
    (watched,) = freezer.watched
    watched.frozen.fill_(True)
    ((linear, quantizer),) = weight_quantizers(student).values()
    quantizer.set_scale(torch.tensor([0.75]))
    freezer.step(0.5)
    assert weight.tolist() == [[0.0, 0.0, 1.5]]
    assert torch.equal(linear.weight, weight)


def test_the_threshold_falls_as_a_cosine(layer: tuple[nn.Module, nn.Parameter]) -> None:
    """0.04 at the start, the mean 0.025 half way, 0.01 at the end."""
    student, _ = layer
    for done, threshold in ((0.0, 0.04), (0.5, 0.025), (1.0, 0.01)):
        for above in (False, True):
            freezer = OscillationFreezer(student, FreezingSpec(momentum=1e-9))
            (watched,) = freezer.watched
            watched.frequency.fill_(threshold + (1e-4 if above else -1e-4))
            freezer.step(done)
            assert bool(watched.frozen.all()) == above


def test_state_is_all_that_matters(layer: tuple[nn.Module, nn.Parameter]) -> None:
    student, weight = layer
    spec = FreezingSpec(momentum=0.5, begin=0.4, end=0.4)
    first = OscillationFreezer(student, spec)
    for value in (0.6, 0.4):
        _move(weight, [value, value, value])
        first.step(0.0)
    second = OscillationFreezer(student, spec)
    second.load_state_dict(first.state_dict())
    assert second.watched[0].frozen.tolist() == [[True, True, False]]
    assert set(first.state_dict()) == {
        f"watched.0.{name}" for name in ("code", "direction", "frequency", "average", "frozen")
    }
