"""A network that learns, with its optimizer, where Fabric placed them."""

from typing import Any

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn

from edgekd.errors import TrainError
from edgekd.quant.quantizer import Quantizer
from edgekd.train.checkpoint import optimizer_tensors, restore_optimizer
from edgekd.train.options import TrainSpec
from edgekd.train.phase import Trains
from edgekd.train.precision import computing


class Learner:
    """A network that learns in one phase."""

    def __init__(
        self,
        network: nn.Module,
        fabric: Fabric,
        options: TrainSpec,
        *,
        compiled: bool,
        trains: Trains = "weights",
    ) -> None:
        self.network, self.fabric, self.options = network, fabric, options
        self.resting = _resting(network, trains)
        for parameter in self.resting:
            parameter.requires_grad_(False)
        self.bare_optimizer = sgd(network, options)
        prepared: Any = torch.compile(network) if compiled else network
        self.forward, self.optimizer = fabric.setup(prepared, self.bare_optimizer)

    def __call__(self, images: Tensor) -> Tensor:
        """Return the logits of a batch, float32."""
        with computing(self.network, self.options, self.fabric.device):
            logits: Tensor = self.forward(images)
        return logits.float()

    def learn(self, loss: Tensor, rate: float) -> None:
        """Take a step down the gradient of ``loss``."""
        for group in self.optimizer.param_groups:
            group["lr"] = rate * group["rate"]
        self.fabric.backward(loss)
        self.optimizer.step()
        self.optimizer.zero_grad()

    def tensors(self, name: str) -> dict[str, Tensor]:
        """Return the optimizer's state for a checkpoint."""
        return optimizer_tensors(name, self.bare_optimizer)

    def restore(self, name: str, tensors: dict[str, Tensor]) -> None:
        """Put back what :meth:`tensors` took, where Fabric placed the weights."""
        restore_optimizer(name, self.optimizer, tensors)

    def rest(self) -> None:
        """End the phase: what it left untrained may learn again."""
        for parameter in self.resting:
            parameter.requires_grad_(True)


def sgd(network: nn.Module, options: TrainSpec) -> torch.optim.Optimizer:
    """Return SGD whose groups know their ``rate``, a fraction of the learning rate of a step.

    Weights, which are tensors of two and more dimensions, decay; what quantizers own has its own rate.
    """
    own = [p for q in network.modules() if isinstance(q, Quantizer) for p in q.parameters()]
    owned = {id(p) for p in own}
    free = [p for p in network.parameters() if p.requires_grad and id(p) not in owned]
    decay = options.weight_decay
    groups = [
        {"params": [p for p in free if p.dim() > 1], "weight_decay": decay, "rate": 1.0},
        {"params": [p for p in free if p.dim() <= 1], "weight_decay": 0.0, "rate": 1.0},
        {
            "params": [p for p in own if p.requires_grad],
            "weight_decay": 0.0,
            "rate": options.scale_rate,
        },
    ]
    return torch.optim.SGD(groups, lr=0.0, momentum=options.momentum, nesterov=options.momentum > 0)


def _resting(network: nn.Module, trains: Trains) -> list[nn.Parameter]:
    """Return what could learn but does not in a phase."""
    if trains == "weights":
        return []
    learning = {id(p) for p in points_of(network)}
    return [p for p in network.parameters() if p.requires_grad and id(p) not in learning]


def points_of(network: nn.Module) -> list[nn.Parameter]:
    """Return the points of all code-books, which is what learns where a phase trains ``points``.

    Raises:
        TrainError: If there are none.
    """
    quantizers = [module for module in network.modules() if isinstance(module, Quantizer)]
    points = [p for q in quantizers for name, p in q.named_parameters() if name == "points"]
    if not points:
        what = "no quantizer of the network has points that could be trained"
        fix = (
            "use kind: codebook; where every layer is a first or last one, "
            "set first_layer_bits and last_layer_bits to its bits"
        )
        raise TrainError(what, where="quantize.weights", fix=fix)
    return points
