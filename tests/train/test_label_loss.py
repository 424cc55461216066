import math

import pytest
import torch

from edgekd.tasks.classification import ClassificationSpec
from edgekd.train.label_loss import LabelLoss
from edgekd.train.options import TrainSpec


def test_label_loss_is_cross_entropy_and_needs_no_teacher() -> None:
    loss = LabelLoss(ClassificationSpec())
    assert not loss.needs_teacher
    value = loss(torch.tensor([[math.log(3), 0.0]]), None, torch.tensor([0]))
    assert float(value) == pytest.approx(-math.log(3 / 4))


def test_label_loss_smooths_labels_as_the_task_says() -> None:
    logits, y = torch.tensor([[math.log(3), 0.0]]), torch.tensor([0])
    value = LabelLoss(ClassificationSpec(label_smoothing=0.2))(logits, None, y)
    assert float(value) == pytest.approx(-0.9 * math.log(3 / 4) - 0.1 * math.log(1 / 4))


@pytest.mark.parametrize(
    "fields", [{"batch_size": 1}, {"momentum": 1.0}, {"weight_decay": -1.0}, {"precision": "fp8"}]
)
def test_train_options_refuse_what_has_no_meaning(fields: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="Input should be"):
        TrainSpec.model_validate(fields)
