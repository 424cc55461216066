"""What the phases of every method minimise, against numbers computed by hand."""

import json
from pathlib import Path
from typing import Any, get_args

import pytest
import torch
from pydantic import TypeAdapter

from edgekd.distill.method import DistillMethod
from edgekd.errors import SpecError
from edgekd.tasks.classification import ClassificationSpec
from edgekd.tasks.python import PythonTaskSpec
from edgekd.unions import Distill

CASES = json.loads((Path(__file__).parent / "losses.json").read_text())["cases"]
TASK = ClassificationSpec()
SCHEDULE = {"epochs": 10, "learning_rate": 0.1}
KINDS = [method.model_fields["kind"].default for method in get_args(get_args(Distill)[0])]


def _method(fields: dict[str, Any]) -> DistillMethod:
    schedule = {} if fields["kind"] == "none" else {"schedule": SCHEDULE}
    method: DistillMethod = TypeAdapter(Distill).validate_python({**schedule, **fields})
    return method


@pytest.mark.parametrize("case", CASES, ids=[case["name"] for case in CASES])
def test_loss_is_what_was_computed_by_hand(case: dict[str, Any]) -> None:
    phases = {phase.name: phase for phase in _method(case["method"]).phases(TASK)}
    phase, logits_s, logits_t = (
        phases[case["phase"]],
        *map(torch.tensor, (case["logits_s"], case["logits_t"])),
    )
    y = torch.tensor(case["y"])
    if case.get("of") == "teacher":
        assert phase.teacher is not None
        loss = phase.teacher.loss(logits_t, logits_s, y)
    else:
        loss = phase.loss(logits_s, logits_t if phase.loss.needs_teacher else None, y)
    assert float(loss) == pytest.approx(case["loss"], abs=1e-6)


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind not in ("none", "qat")])
def test_method_that_imitates_refuses_a_task_without_classes(kind: str) -> None:
    task = TypeAdapter(PythonTaskSpec).validate_python(
        {
            "kind": "python",
            "loss": {"file": __file__, "function": "loss"},
            "metric": {"file": __file__, "function": "metric"},
        }
    )
    with pytest.raises(SpecError, match=f"{kind} imitates the probabilities of classes") as caught:
        _method({"kind": kind}).phases(task)
    assert "qat" in caught.value.fix
