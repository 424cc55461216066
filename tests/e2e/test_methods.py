"""Every distillation method on its whole way to an engine, small."""

import math
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from edgekd.core.store import Store
from edgekd.distill.distill_student import DistilledStudent
from edgekd.pipeline import build, survey
from edgekd.quant.student import fresh_student, load_student
from edgekd.spec import load_pipeline
from edgekd.train.batchnorm import reestimate_batchnorm
from edgekd.train.checkpoint import EpochRecord
from edgekd.unions import members
from edgekd.verify.verify import verify

SPECS = Path(__file__).parents[1] / "specs"
METHODS = yaml.safe_load((SPECS / "methods.yaml").read_text())
SHOWN_ELSEWHERE = {"none", "hinton"}


def test_every_method_has_a_run() -> None:
    assert {method["set"][0].partition("kind: ")[2].partition(",")[0] for method in METHODS.values()} == (
        set(members("distill")) - SHOWN_ELSEWHERE
    )


@pytest.mark.parametrize("name", METHODS)
def test_method_ends_in_a_proven_engine(store_copy: Path, name: str) -> None:
    method: dict[str, Any] = METHODS[name]
    spec = load_pipeline(SPECS / "tiny.yaml", tuple(method["set"]))
    built = build(spec, survey(spec), Store(store_copy, pipeline=spec.name))
    test = spec.data.split("test")
    proof = verify(built.targets[0].engine.engine_path, test.images, test.labels)
    assert (proof.faithfulness.coverage.fallbacks, proof.faithfulness.oracle.mismatches) == ((), 0)
    assert proof.top1 == pytest.approx(spec.task.measure(built.marked.test_logits(), test.labels), abs=0.02)
    assert isinstance(built.student, DistilledStudent)
    history = built.student.history()
    assert _phases(history, "loss") == method["phases"]
    assert _phases(history, "teacher_loss") == method.get("teacher_learns", [])
    assert _phases(history, "teacher_metric") == (method["phases"] if "teacher_learns" in method else [])


@pytest.mark.parametrize("scheme", ["A", "B", "C"])
def test_apprentice_starts_where_its_scheme_says_and_ends_with_fresh_statistics(
    store_copy: Path, scheme: str
) -> None:
    method = f"{{kind: apprentice, scheme: {scheme}, schedule: {{epochs: 1, learning_rate: 1.0e-9}}}}"
    spec = load_pipeline(SPECS / "tiny.yaml", (f"distill={method}",))
    built, info = build(spec, survey(spec), Store(store_copy, pipeline=spec.name)), spec.data.info()
    trained = load_student(built.student, spec.student, built.arch, spec.quantize, info)
    assert isinstance(built.student, DistilledStudent)
    (record,) = built.student.history()
    if scheme == "A":  # a random teacher is wrong about ten classes by ln 10 or more, the given one by less
        assert record.teacher_loss is not None
        assert record.teacher_loss > math.log(10)
    if scheme in ("A", "B"):
        torch.manual_seed(spec.seed)
        start = fresh_student(spec.student, built.arch, spec.quantize, info)
    else:
        start = load_student(built.ptq, spec.student, built.arch, spec.quantize, info)
    name = "body.conv1.parametrizations.weight.original"
    torch.testing.assert_close(trained.state_dict()[name], start.state_dict()[name], atol=1e-6, rtol=0)
    saved = trained.state_dict()["body.bn1.running_mean"].clone()
    training = spec.training
    reestimate_batchnorm(
        trained,
        spec.data.split("train"),
        batch_size=training.batch_size,
        augment=training.augment,
        seed=spec.seed,
    )
    torch.testing.assert_close(trained.state_dict()["body.bn1.running_mean"], saved)


def _phases(history: list[EpochRecord], field: str) -> list[str]:
    """Return the phases that recorded a field, in their order."""
    return list(dict.fromkeys(record.phase for record in history if getattr(record, field) is not None))
