"""Benchmarks that train, on the smallest pipeline: a student as deployed, as published and in float."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from edgekd.spec import load_pipeline

SPECS = Path(__file__).parents[1] / "specs"


@pytest.fixture
def pipeline(checkout: Path) -> Path:
    """The smallest quantized distillation."""
    overrides = yaml.safe_load((SPECS / "methods.yaml").read_text())["quantized_distillation"]["set"]
    path = checkout / "quantized_distillation.yaml"
    spec = load_pipeline(SPECS / "tiny.yaml", (*overrides, "name=quantized_distillation"))
    path.write_text(yaml.safe_dump(spec.model_dump(mode="json")))
    return path


@pytest.mark.slow
def test_a_deployed_student_is_compared_with_its_published_form_and_with_float(
    store_copy: Path, checkout: Path, pipeline: Path
) -> None:
    for module in ("pipelines", "published_forms", "float_distillation"):
        _run(checkout, store_copy, module, pipeline.name)
    engine, published, floating = (
        _only_row(checkout, name) for name in ("pipelines", "published_forms", "float_distillation")
    )
    assert engine["spec_digest"] == published["spec_digest"] == floating["spec_digest"]
    assert (engine["quantizers"]["weights"], published["weights"]["kind"]) == ("minmax", "bucketed")
    assert published["metric"]["float"] == floating["metric"]["float"] == engine["metric"]["float"]
    table = _run(checkout, store_copy, "table")
    accuracy = f"{100 * engine['metric']['engine']['value']:.1f} %; "
    assert table.count(f"| {accuracy}") == 2, table


def _run(checkout: Path, store: Path, module: str, *words: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", f"benchmarks.{module}", *words],
        cwd=checkout,
        env={**os.environ, "EDGEKD_STORE": str(store), "EDGEKD_PROGRESS": "off", "OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    return done.stdout


def _only_row(checkout: Path, name: str) -> dict[str, Any]:
    (line,) = (checkout / f"benchmarks/results/{name}.jsonl").read_text().splitlines()
    row: dict[str, Any] = json.loads(line)
    return row
