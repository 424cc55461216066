"""What a pipeline file may ask of a search."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from edgekd.errors import SpecError
from edgekd.spec import load_pipeline
from tests.e2e.test_search import FILE


@pytest.mark.parametrize(
    ("overrides", "key", "reason"),
    [
        (["student.trials=1"], "student", "2 finalists of 1 trials"),
        (["student.rungs=[1, 3]"], "student", "trials learn for 3 epochs (rungs) and finalists for 2"),
        (["student.rungs=[2, 1]"], "student.rungs", "rungs are epochs in rising order"),
        (["quantize.weights={kind: lsq, bits: 4}"], "quantize", "calibrated grids of 4 bits say little"),
        (
            ["distill={kind: apprentice, scheme: A, schedule: {epochs: 1, learning_rate: 0.1}}"],
            "distill",
            "from random weights",
        ),
        (["student.limits.min_metric=80"], "student", "80 is no top-1 accuracy"),
        (["student.limits={}"], "student.limits", "nothing is limited"),
        (["student.storage=postgresql://me:secret@host/db"], "student.storage", "password"),
    ],
)
def test_what_cannot_be_searched_is_refused(
    tmp_path: Path, overrides: list[str], key: str, reason: str
) -> None:
    file = tmp_path / "searched.yaml"
    file.write_text(yaml.safe_dump(FILE))
    with pytest.raises(SpecError) as error:
        load_pipeline(file, tuple(overrides))
    assert reason in str(error.value)
    assert key in error.value.where


def test_few_bits_are_searched_where_trials_are_trained_before_they_are_judged(tmp_path: Path) -> None:
    asked: dict[str, Any] = {**FILE, "quantize": {**FILE["quantize"], "weights": {"kind": "lsq", "bits": 4}}}
    asked["student"] = {**FILE["student"], "judging": {"epochs": 1, "learning_rate": 0.01}}
    file = tmp_path / "searched.yaml"
    file.write_text(yaml.safe_dump(asked))
    assert load_pipeline(file).quantize.weights.bits == 4
