"""The stage ``train_candidate``: a network of a search space learns for a while and is judged as integers."""

from pathlib import Path

import torch
from pydantic import Field
from safetensors.torch import load_file, save_file
from torch import nn

from edgekd.core.artifact import Artifact, stage
from edgekd.core.atomic import write_json
from edgekd.core.schedule import Schedule
from edgekd.core.spec_base import Spec
from edgekd.data.dataset import DataSpec
from edgekd.distill.imitation import imitation_loss
from edgekd.distill.quantize_student import best_grids
from edgekd.quant.student import QuantizeSpec
from edgekd.tasks.classification import ClassificationSpec, TaskSpec
from edgekd.tasks.metric import Metric
from edgekd.teacher.several import Heard, HeardSpec, load_heard
from edgekd.train.batchnorm import reestimate_batchnorm
from edgekd.train.evaluate import predict
from edgekd.train.label_loss import LabelLoss
from edgekd.train.loop import Trainee, train
from edgekd.train.options import TrainSpec
from edgekd.train.phase import KdLoss, Phase
from edgekd.zoo.network import NetworkSpec, given_weights
from edgekd.zoo.student import image_network, start_from_weights
from edgekd.zoo.weights import WeightsSpec, storable


class CandidateTraining(Spec):
    """How a candidate learns; with a teacher it imitates its softened probabilities (`soft_divergence`).

    Attributes:
        float_schedule: In float.
        quantized_schedule: Then with fake quantization, before it is judged; None: calibrated grids are
            judged.
        temperature: T of the teacher's probabilities.
        alpha: Weight of the teacher's word against the labels', 0..1.
    """

    float_schedule: Schedule
    quantized_schedule: Schedule | None
    temperature: float = Field(gt=0)
    alpha: float = Field(ge=0, le=1)

    def loss(self, task: TaskSpec, teacher: nn.Module | None) -> KdLoss:
        """Return what candidates minimise: without a teacher, or classes, the loss of the labels."""
        if teacher is None or not isinstance(task, ClassificationSpec):
            return LabelLoss(task)
        return imitation_loss(
            task, "hinton", temperature=self.temperature, labels=1 - self.alpha, imitation=self.alpha
        )


class Candidate(Artifact):
    """A network of the space, trained so far."""

    def load_into(self, network: nn.Module) -> None:
        """Put its float weights into a network of the same architecture."""
        network.load_state_dict(load_file(self.path("weights.safetensors")))

    def metric(self) -> Metric:
        """Return how right it is on the validation split, with fake quantization."""
        return Metric.model_validate(self.read_json("metric.json"))


@stage(Candidate, version=3)
def train_candidate(
    folder: Path,
    network: NetworkSpec,
    weights: WeightsSpec | None,
    start: Candidate | None,
    teacher: Heard | None,
    teacher_spec: HeardSpec | None,
    how: CandidateTraining,
    quantize: QuantizeSpec,
    data: DataSpec,
    task: TaskSpec,
    training: TrainSpec,
    seed: int,
) -> None:
    """Train a network in float, from ``start`` on or from the beginning; judge it on validation rows."""
    info = data.info()
    torch.manual_seed(seed)
    given = given_weights(network, weights, info, trained=True)
    student = image_network(network, given, info)
    if start is not None:
        start.load_into(student)
    elif given is not None:
        start_from_weights(student, given, (info.height, info.width))
    teaching = None
    if teacher and teacher_spec:
        teaching = load_heard(teacher, teacher_spec, info, heard_at=how.temperature)
    loss = how.loss(task, teaching)
    train_split = data.split("train")

    def learn(learner: nn.Module, name: str, schedule: Schedule) -> None:
        trainee = Trainee(learner, teaching if loss.needs_teacher else None, train_split, lambda _: None)
        scratch = folder / "scratch" / name
        train(trainee, (Phase(name, schedule, loss),), training, seed=seed, scratch=scratch)

    learn(student, "float", how.float_schedule)
    save_file(storable(student.state_dict()), folder / "weights.safetensors")
    images = torch.tensor(quantize.calibration.images(data))
    judged = best_grids(student, quantize, images)
    if how.quantized_schedule is not None:
        learn(judged, "quantized", how.quantized_schedule)
        reestimate_batchnorm(
            judged, train_split, batch_size=training.batch_size, augment=training.augment, seed=seed
        )
    validation = data.split("validation")
    metric = task.score(predict(judged, validation), validation.labels)
    write_json(folder / "metric.json", metric.model_dump(mode="json"))
