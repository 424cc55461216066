"""Every distillation method on its whole way to an engine, small."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from edgekd.core.store import Store
from edgekd.distill.distill_student import DistilledStudent
from edgekd.pipeline import build, survey
from edgekd.spec import load_pipeline
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


def _phases(history: list[EpochRecord], field: str) -> list[str]:
    """Return the phases that recorded a field, in their order."""
    return list(dict.fromkeys(record.phase for record in history if getattr(record, field) is not None))
