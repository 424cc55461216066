"""The stage ``train_assistant``: a float network of a size in between, taught by whoever stands before it.

Paper: Mirzadeh et al., "Improved Knowledge Distillation via Teacher Assistant", AAAI 2020, arXiv:1902.03393,
sec. 3: teacher -> assistant -> ... -> student, each taught by the one before alone, with

    L = a * T**2 * KL(p_t^T || p_s^T) + (1 - a) * CE(y, p_s)             (eq. 3)

Where we differ: the student's own method may be another one; the KL term is averaged over the batch only.
The authors choose the size in between whose accuracy is about the mean of both ends; ``count`` chooses equal
ratios of parameters, which needs no training.
"""

from pathlib import Path

import torch
from pydantic import Field

from edgekd.core.artifact import stage
from edgekd.core.schedule import Schedule
from edgekd.core.spec_base import Spec
from edgekd.data.dataset import DataSpec
from edgekd.distill.imitation import imitation_loss
from edgekd.export.float_network import write_float_network
from edgekd.tasks.classification import TaskSpec
from edgekd.teacher.export_teacher import Teacher, teacher_network
from edgekd.teacher.several import Heard, HeardSpec, load_heard
from edgekd.train.evaluate import validation_metric
from edgekd.train.loop import Trainee, train
from edgekd.train.options import TrainSpec
from edgekd.train.phase import Phase
from edgekd.zoo.network import NetworkSpec, given_weights


class AssistantTraining(Spec):
    """How an assistant learns: by Hinton distillation from the one before it.

    Attributes:
        training: Epochs and learning rate.
        temperature: T. Of its own, so that another one for the student trains no assistant again.
        alpha: Weight of the word of the one before against the labels', 0..1.
    """

    training: Schedule
    temperature: float = Field(default=4.0, gt=0)
    alpha: float = Field(default=0.9, ge=0, le=1)


class AssistantSpec(AssistantTraining):
    """An assistant.

    Attributes:
        network: Its architecture.
    """

    network: NetworkSpec


class EqualAssistants(AssistantTraining):
    """Assistants whose parameters form a geometric series between teacher and student.

    Attributes:
        count: How many.
    """

    count: int = Field(ge=1, le=9)


class Assistant(Teacher):
    """A trained float network that teaches the next one."""


@stage(Assistant, version=1)
def train_assistant(
    folder: Path,
    assistant: AssistantSpec,
    heard: Heard,
    heard_spec: HeardSpec,
    data: DataSpec,
    task: TaskSpec,
    training: TrainSpec,
    seed: int,
) -> None:
    """Train an assistant on what it hears and on the labels; write weights, float ONNX and facts."""
    info = data.info()
    torch.manual_seed(seed + 2)  # neither the student's start nor the teacher's
    weights = given_weights(assistant.network, None, info, trained=True)
    network = teacher_network(assistant.network, weights, info)
    if weights is not None:
        weights.load_into(network.body)
    title, alpha = assistant.network.title, assistant.alpha
    loss = imitation_loss(
        task, "hinton", temperature=assistant.temperature, labels=1 - alpha, imitation=alpha
    )
    teaching = load_heard(heard, heard_spec, info, heard_at=assistant.temperature)
    trainee = Trainee(network, teaching, data.split("train"), validation_metric(data, task))
    phase = Phase(f"assistant {title}", assistant.training, loss)
    history = train(trainee, (phase,), training, seed=seed, scratch=folder / "scratch")
    write_float_network(folder, network, name=title, data=data, task=task, history=history)
