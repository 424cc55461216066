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

MODES = ("eager", "compiled")
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


@pytest.mark.slow
def test_files_of_few_bits_are_as_small_as_their_codes_and_compute_in_integers(checkout: Path) -> None:
    _run(checkout, checkout / "store", "packed_size", "--network", "resnet20")
    row = _only_row(checkout, "packed_size")
    for weights, file in row["weights"].items():
        assert file["float_ops"] == file["oracle_mismatches"] == file["layer_off_by_more"] == 0, weights
        if weights != "code-book":  # its tables are payload, too
            assert file["payload_bytes"] <= 1.02 * file["needed_bytes"], weights


@pytest.mark.slow
def test_a_training_step_is_timed_in_every_mode(checkout: Path) -> None:
    small = ("--batch-size", "8", "--threads", "1", "--rounds", "2", "--teacher-depth", "8")
    _run(checkout, checkout / "store", "train_step", *small)
    row = _only_row(checkout, "train_step")
    assert set(row["variants"]) == {f"{of}_{mode}" for of in ("float", "fake_quant") for mode in MODES}
    for mode in MODES:
        low, high = row["fake_over_float"][mode]["ci"]
        assert 0 < low <= row["fake_over_float"][mode]["ratio"] <= high


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
