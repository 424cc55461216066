"""Every distillation method on its whole way to an engine, small."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from edgekd.report.schema import Report
from edgekd.spec import members

METHODS = yaml.safe_load((Path(__file__).parents[1] / "specs" / "methods.yaml").read_text())
SHOWN_ELSEWHERE = {"none", "hinton"}


def test_every_method_has_a_run() -> None:
    assert {method["set"][0].partition("kind: ")[2].partition(",")[0] for method in METHODS.values()} == (
        set(members("distill")) - SHOWN_ELSEWHERE
    )


@pytest.mark.parametrize("name", METHODS)
def test_method_ends_in_a_proven_engine(again: Callable[..., Report], name: str) -> None:
    method: dict[str, Any] = METHODS[name]
    report = again(*method["set"])
    (target,) = report.targets
    assert (target.coverage.float_ops, target.fidelity.oracle_mismatches) == (0, 0)
    assert target.fidelity.layer_off_by_more == 0
    before = {"train teacher", "train student"}
    trained = [record for record in report.student.history if record.phase not in before]
    assert list(dict.fromkeys(record.phase for record in trained)) == method["phases"]
    learned = [record.phase for record in trained if record.teacher_loss is not None]
    assert list(dict.fromkeys(learned)) == method.get("teacher_learns", [])
    reported = [record.phase for record in trained if record.teacher_metric is not None]
    assert reported == (method["phases"] if learned else [])
