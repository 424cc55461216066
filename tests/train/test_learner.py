import pytest
import torch
from lightning_fabric import Fabric
from torch import Tensor, nn

from edgekd.core.grid import IntGrid
from edgekd.errors import TrainError
from edgekd.quant.calibrate import calibrate
from edgekd.quant.lsq import LsqQuantizer, LsqSpec
from edgekd.quant.prepare import prepare
from edgekd.quant.quantizer import Quantizer
from edgekd.quant.scheme import QuantScheme
from edgekd.train.learner import Learner, sgd
from edgekd.train.options import TrainSpec


class ShiftedQuantizer(LsqQuantizer):
    """Has points, for what they are worth: they shift its values."""

    def register_scale(self, scale: Tensor) -> None:
        super().register_scale(scale)
        self.points = nn.Parameter(torch.zeros(()))

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x) + self.points


class ShiftedSpec(LsqSpec):
    def build(self, grid: IntGrid, *, axis: int | None, mark: str, channels: int = 1) -> LsqQuantizer:
        return ShiftedQuantizer(grid, axis=axis, mark=mark, channels=channels)


def _student(weights: LsqSpec) -> nn.Module:
    torch.manual_seed(0)
    layers = nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.ReLU(), nn.Flatten(), nn.Linear(8, 2)
    scheme = QuantScheme(weights=weights)
    student = prepare(nn.Sequential(*layers), torch.randn(2, 1, 4, 4), scheme=scheme)
    calibrate(student, [torch.randn(16, 1, 4, 4)], "minmax")
    return student


def test_sgd_decays_weights_only_and_gives_scales_their_own_rate() -> None:
    student = _student(LsqSpec())
    student.get_submodule("4").bias.requires_grad_(False)
    options = TrainSpec(weight_decay=0.01, momentum=0.8, scale_rate=0.3)
    weights, others, scales = sgd(student, options).param_groups
    assert [(group["weight_decay"], group["rate"]) for group in (weights, others, scales)] == [
        (0.01, 1.0),
        (0.0, 1.0),
        (0.0, 0.3),
    ]
    assert all((group["momentum"], group["nesterov"]) == (0.8, True) for group in (weights, others, scales))
    assert [tuple(p.shape) for p in weights["params"]] == [(2, 1, 3, 3), (2, 8)]
    assert [tuple(p.shape) for p in others["params"]] == [(2,), (2,), (2,)]  # not the frozen bias
    owned = [q.scale for q in student.modules() if isinstance(q, Quantizer)]
    assert {id(p) for p in scales["params"]} == {id(p) for p in owned}


def test_learner_gives_every_group_its_share_of_the_rate() -> None:
    student = _student(LsqSpec())
    options = TrainSpec(compile="never", weight_decay=0.0, momentum=0.0, scale_rate=0.3)
    learner = Learner(student, Fabric(accelerator="cpu", devices=1), options, compiled=False)
    (scale,) = (q.scale for name, q in student.named_modules() if name == "4.parametrizations.weight.0")
    weight = student.get_submodule("4").parametrizations["weight"].original  # type: ignore[union-attr,index]
    before = [parameter.detach().clone() for parameter in (weight, scale)]
    loss = learner(torch.randn(8, 1, 4, 4)).square().mean()
    gradients = torch.autograd.grad(loss, [weight, scale], retain_graph=True)
    learner.learn(loss, 0.1)
    torch.testing.assert_close(weight.detach(), before[0] - 0.1 * gradients[0])
    torch.testing.assert_close(scale.detach(), before[1] - 0.1 * 0.3 * gradients[1])


def test_sgd_works_without_momentum() -> None:
    assert not sgd(nn.Linear(2, 2), TrainSpec(momentum=0.0)).param_groups[0]["nesterov"]


def test_learner_of_points_trains_them_alone_and_moves_batch_statistics() -> None:
    student = _student(ShiftedSpec())
    before = {name: value.clone() for name, value in student.state_dict().items()}
    options = TrainSpec(compile="never", weight_decay=0.1)
    learner = Learner(student, Fabric(accelerator="cpu", devices=1), options, compiled=False, trains="points")
    learner.learn(learner(torch.randn(8, 1, 4, 4)).square().mean(), 0.1)
    changed = {name for name, value in student.state_dict().items() if not torch.equal(value, before[name])}
    points = {f"{layer}.parametrizations.weight.0.points" for layer in (0, 4)}
    assert changed == {*points, "1.running_mean", "1.running_var", "1.num_batches_tracked"}
    learner.rest()
    assert all(p.requires_grad for p in student.parameters())


def test_learner_of_points_refuses_a_network_without_any() -> None:
    with pytest.raises(TrainError, match="no quantizer of the network has points") as caught:
        Learner(nn.Linear(2, 2), Fabric(accelerator="cpu"), TrainSpec(), compiled=False, trains="points")
    assert "codebook" in caught.value.fix
