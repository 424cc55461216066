"""A float network as an artifact: weights, float ONNX for the latency baseline, and its facts."""

from dataclasses import asdict
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import nn

from edgekd.core.artifact import Artifact
from edgekd.core.atomic import write_json
from edgekd.core.spec_base import Spec
from edgekd.data.dataset import DataSpec
from edgekd.export.onnx_file import export_onnx
from edgekd.tasks.classification import TaskSpec
from edgekd.tasks.metric import Metric
from edgekd.train.checkpoint import EpochRecord
from edgekd.train.evaluate import predict
from edgekd.zoo.cost import count_macs, count_params
from edgekd.zoo.pixels import ImageNetwork
from edgekd.zoo.weights import storable

WEIGHTS, ONNX, FACTS, HISTORY = "weights.safetensors", "model.onnx", "facts.json", "history.json"


class NetworkFacts(Spec):
    """What a report says of a float network.

    Attributes:
        name: Its architecture.
        params: Number of weights.
        macs: Multiply-accumulates of one inference.
        metric: On the test split.
    """

    name: str
    params: int
    macs: int
    metric: Metric


class FloatNetwork(Artifact):
    """A trained float network."""

    @property
    def onnx_path(self) -> Path:
        """The float ONNX file: uint8 NHWC images in, logits out."""
        return self.path(ONNX)

    def facts(self) -> NetworkFacts:
        """Return what the report says of it."""
        return NetworkFacts.model_validate(self.read_json(FACTS))

    def history(self) -> list[EpochRecord]:
        """Return one record per epoch of its training."""
        return [EpochRecord(**record) for record in self.read_json(HISTORY)]

    def load_into(self, network: nn.Module) -> None:
        """Put its weights into a network of the same architecture."""
        network.load_state_dict(load_file(self.path(WEIGHTS)))


class FloatStudent(FloatNetwork):
    """The student before quantization: the figure that every integer result is compared with."""


def write_float_network(
    folder: Path,
    network: ImageNetwork,
    *,
    name: str,
    data: DataSpec,
    task: TaskSpec,
    history: list[EpochRecord],
) -> None:
    """Write everything that a :class:`FloatNetwork` holds.

    The test split is read for the report's figure only; nothing decides on it.
    """
    info, test = data.info(), data.split("test")
    save_file(storable(network.state_dict()), folder / WEIGHTS)
    export_onnx(network, torch.tensor(test.images[:2]), folder / ONNX)
    macs = count_macs(network.body, channels=info.channels, height=info.height, width=info.width)
    metric = task.score(predict(network, test), test.labels)
    facts = NetworkFacts(name=name, params=count_params(network.body), macs=macs, metric=metric)
    write_json(folder / FACTS, facts.model_dump(mode="json"))
    write_json(folder / HISTORY, [asdict(record) for record in history])
