import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml

from edgekd.core.union import members_by_kind
from edgekd.errors import DataError, SpecError
from edgekd.gate.gates import Gate, Gates, judge, load_gates, overall
from edgekd.gate.model_subject import Scoring
from edgekd.gate.run_subject import RunSubject
from edgekd.report.target_schema import Coverage, Fallback, Native
from edgekd.tasks.metric import Metric

KINDS = members_by_kind(Gate)


@dataclass(frozen=True)
class Case:
    """One limit, what the new and the earlier run say, and the verdict."""

    id: str
    gate: dict[str, Any]
    state: str
    value: float
    now: dict[str, Any] = field(default_factory=dict)
    before: dict[str, Any] = field(default_factory=dict)


def _top1(value: float, n: int = 1000) -> Metric:
    return Metric(name="top1", value=value, ci95=(value - 0.01, value + 0.01), n=n)


MEAN_ERROR = Metric(name="mean_distance", value=2.5, ci95=(2.4, 2.6), n=1000, higher_is_better=False)
FALLBACKS = tuple(Fallback(node=f"n{i}", op="Mul", reason="no rule", listed=i == 0) for i in range(2))
COVERAGE = Coverage(integer_ops=8, float_ops=2, float_op_names=("Mul", "Mul"), fallbacks=FALLBACKS)
SAME = Native(identical=True, values=1000, differences=0, first_difference=None)
OTHER = Native(identical=False, values=1000, differences=7, first_difference="layer1.0.add")
CASES = [
    Case("bytes_at_the_limit", {"kind": "download", "max_bytes": 71_338}, "passed", 71_338),
    Case("a_byte_more", {"kind": "download", "max_bytes": 71_337}, "failed", 71_338),
    Case(
        "growth_at_the_limit",
        {"kind": "download", "max_growth": 0.02},
        "passed",
        0.02,
        now={"download_bytes": 1020},
        before={"download_bytes": 1000},
    ),
    Case(
        "growth_must_be_a_cut",
        {"kind": "download", "max_growth": -0.1},
        "failed",
        -0.05,
        now={"download_bytes": 950},
        before={"download_bytes": 1000},
    ),
    Case("size_of_the_same", {"kind": "size", "max_growth": 0.0}, "passed", 0),
    Case("accuracy_reached", {"kind": "accuracy", "min": 0.985}, "passed", 0.985, {"metric": _top1(0.985)}),
    Case("accuracy_missed", {"kind": "accuracy", "min": 0.9851}, "failed", 0.985, {"metric": _top1(0.985)}),
    Case(
        "drop_at_the_limit",
        {"kind": "accuracy", "max_drop": 0.005},
        "passed",
        0.005,
        now={"metric": _top1(0.985)},
        before={"metric": _top1(0.99)},
    ),
    Case(
        "one_image_too_many",
        {"kind": "accuracy", "max_drop": 0.005},
        "failed",
        0.006,
        now={"metric": _top1(0.984)},
        before={"metric": _top1(0.99)},
    ),
    Case("better_than_float", {"kind": "accuracy", "max_drop_from_float": 0.0}, "passed", -1 / 360),
    Case("error_below", {"kind": "accuracy", "max": 2.5}, "passed", 2.5, {"metric": MEAN_ERROR}),
    Case(
        "error_grew",
        {"kind": "accuracy", "max_drop": 0.25},
        "failed",
        0.5,
        now={"metric": MEAN_ERROR},
        before={"metric": MEAN_ERROR.model_copy(update={"value": 2.0})},
    ),
    Case("agreement", {"kind": "agreement", "min": 0.999}, "failed", 359 / 360),
    Case("share", {"kind": "integer_coverage", "min_share": 0.8}, "passed", 0.8, {"coverage": COVERAGE}),
    Case("float_ops", {"kind": "integer_coverage", "max_float_ops": 1}, "failed", 2, {"coverage": COVERAGE}),
    Case("unlisted", {"kind": "integer_coverage", "max_unlisted": 1}, "passed", 1, {"coverage": COVERAGE}),
    Case("oracle", {"kind": "fidelity", "max_oracle_mismatches": 0}, "passed", 0),
    Case("layers", {"kind": "fidelity", "max_layer_off_by_more": 0}, "passed", 0),
    Case("same_bits", {"kind": "fidelity", "max_native_differences": 0}, "passed", 0, {"native": SAME}),
    Case("other_bits", {"kind": "fidelity", "max_native_differences": 0}, "failed", 7, {"native": OTHER}),
    Case("few_other_bits", {"kind": "fidelity", "max_native_differences": 7}, "passed", 7, {"native": OTHER}),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
def test_gate_decides_on_the_exact_value(run, decide, case: Case) -> None:
    result = decide(case.gate, run("now", **case.now), baseline=run("before", **case.before))
    assert (result.state, result.interval) == (case.state, None)
    assert result.value == pytest.approx(case.value)
    assert result.name == ".".join(list(case.gate.values())[:1] + list(case.gate)[1:])


@dataclass(frozen=True)
class Refused:
    """What a run cannot be asked."""

    id: str
    gate: dict[str, Any]
    says: str
    now: dict[str, Any] = field(default_factory=dict)


NOTHING = {"oracle_values": 0, "layer_tensors": 0}
REFUSED = [
    Refused("no_baseline", {"kind": "size", "max_growth": 0.1}, "size.max_growth compares with a baseline"),
    Refused("other_side", {"kind": "accuracy", "max": 0.9}, "higher is better"),
    Refused("no_agreement", {"kind": "agreement", "min": 0.9}, "no such thing", {"agreement_top1": None}),
    Refused(
        "float", {"kind": "accuracy", "max_drop_from_float": 0.1}, "compare", {"metric": _top1(0.9, n=9)}
    ),
    Refused(
        "not_timed", {"kind": "latency", "min_speedup_over_ptq": 1.0}, "against nothing", {"baselines": ()}
    ),
    Refused("not_emulated", {"kind": "fidelity", "max_native_differences": 0}, "device is local"),
    Refused("board", {"kind": "latency", "max_p50_ms": 1.0}, "on the device qemu", {"device": "qemu"}),
    Refused("target", {"kind": "size", "max_bytes": 1, "target": "openvino"}, "no engine for the target"),
    Refused(
        "no_operator",
        {"kind": "integer_coverage", "max_float_ops": 0},
        "no operator",
        {"coverage": Coverage(integer_ops=0, float_ops=0, float_op_names=(), fallbacks=())},
    ),
]


@pytest.mark.parametrize("case", REFUSED, ids=lambda case: case.id)
def test_gate_refuses_what_a_run_does_not_know(run, decide, case: Refused) -> None:
    with pytest.raises((SpecError, DataError), match=case.says) as caught:
        decide(case.gate, run(**case.now))
    assert caught.value.where
    assert caught.value.fix


@pytest.mark.parametrize(
    "gate",
    [
        {"kind": "latency", "max_ratio": 1.05},
        {"kind": "size", "max_growth": 0.1},
        {"kind": "accuracy", "max_drop": 0.1},
    ],
    ids=lambda gate: gate["kind"],
)
def test_a_baseline_that_is_missing_is_said_before_any_engine_is_looked_into(
    run, gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(RunSubject, "fidelity", lambda self: pytest.fail("it was looked into"))
    first = {"kind": "fidelity", "max_oracle_mismatches": 0}
    gates = Gates.model_validate({"version": 1, "gates": [first, gate]})
    with pytest.raises(SpecError, match="compares with a baseline, and there is none"):
        judge(gates, run(), scoring=Scoring())


@pytest.mark.parametrize("limit", ["max_oracle_mismatches", "max_layer_off_by_more"])
def test_fidelity_of_nothing_is_no_proof(run, report, decide, limit: str) -> None:
    empty = report.targets[0].fidelity.model_copy(update=NOTHING)
    with pytest.raises(DataError, match="was compared"):
        decide({"kind": "fidelity", limit: 0}, run(fidelity=empty))


@pytest.mark.parametrize("kind", KINDS)
def test_every_gate_says_what_it_is_and_demands_a_limit(kind: str) -> None:
    assert KINDS[kind].limits()
    assert (KINDS[kind].__doc__ or "").strip()
    with pytest.raises(ValueError, match=f"{kind} sets no limit"):
        Gates.model_validate({"version": 1, "gates": [{"kind": kind}]})


@pytest.mark.parametrize(
    ("text", "line", "says"),
    [
        ("{kind: siez, max_bytes: 1}", 3, "unknown kind 'siez'"),
        ("{kind: size, max_byts: 1}", 3, "did you mean 'max_bytes'"),
        ("{kind: size, max_bytes: 1.5}", 3, "a whole number"),
        ("{kind: size}", 3, "add one of max_bytes, max_growth"),
        ("size", 3, "size sets no limit"),
        ("{kind: latency, max_ratio: 0}", 3, "greater than 0"),
        ("{kind: agreement, min: 95}", 3, "less than or equal to 1"),
        ("{kind: accuracy, min: .nan}", 3, "finite"),
        ("{kind: fidelity, max_native_differences: -1}", 3, "max_native_differences = -1"),
    ],
)
def test_load_gates_names_line_and_fix(tmp_path: Path, text: str, line: int, says: str) -> None:
    path = tmp_path / "gates.yaml"
    path.write_text(f"version: 1\ngates:\n  - {text}\n")
    with pytest.raises(SpecError) as caught:
        load_gates(path)
    assert says in str(caught.value)
    assert f"{path}, line {line}" in caught.value.where
    assert "spec shows" not in caught.value.fix


def test_load_gates_calls_its_file_by_its_name(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="cannot read the gates file") as caught:
        load_gates(tmp_path / "none.yaml")
    assert "edgekd schema gates" in caught.value.fix


def _judged(folder: Path, *gates: dict[str, Any], target: str = "") -> list[tuple[str, str]]:
    spec = Gates.model_validate({"version": 1, "gates": gates})
    found = judge(spec, folder, baseline=folder, scoring=Scoring(), target=target)
    return [(result.engine.split(".")[1], result.state) for result in found]


DOWNLOAD = {"kind": "download", "max_bytes": 10**6}
ORACLE = {"kind": "fidelity", "max_oracle_mismatches": 0}
SPEED = {"kind": "latency", "min_speedup_over_ptq": 0.1}


def test_gate_is_for_every_engine_or_for_those_of_its_target(three: Path) -> None:
    named = [{**DOWNLOAD, "target": name} for name in ("tensorrt", "model.onnxruntime.onnx")]
    engines = [engine for engine, _ in _judged(three, DOWNLOAD, *named)]
    assert engines == ["onnxruntime", "openvino", "tensorrt", "tensorrt", "onnxruntime"]


def test_a_limit_holds_for_the_engines_that_can_be_asked(three: Path, run, report) -> None:
    """What one runtime has no answer to decides nothing; what it was not run for stays open."""
    no, not_run = "not_applicable", "inconclusive"
    assert _judged(three, ORACLE) == [("onnxruntime", "passed"), ("openvino", no), ("tensorrt", no)]
    assert _judged(three, SPEED)[1:] == [("openvino", "passed"), ("tensorrt", not_run)]
    spec = Gates.model_validate({"version": 1, "gates": [ORACLE, {"kind": "size", "max_growth": 0}]})
    found = judge(spec, three, baseline=run("one"), scoring=Scoring())
    assert [result.text for result in found if result.state == no] == [
        "openvino has no integer oracle",
        "tensorrt has no integer oracle",
        *(f"size.max_growth compares with a baseline, and there is none for {name}"
          for name in ("model.openvino.onnx", "model.tensorrt.plan")),
    ]  # fmt: skip
    assert overall(found) == "passed"


def test_a_limit_that_no_engine_can_be_asked_is_a_mistake(three: Path) -> None:
    with pytest.raises(SpecError, match="openvino has no integer oracle") as caught:
        _judged(three, DOWNLOAD, {**ORACLE, "target": "openvino"})
    assert "limit agreement" in caught.value.fix
    with pytest.raises(SpecError, match="its device is local"):
        _judged(three, DOWNLOAD, {"kind": "fidelity", "max_native_differences": 0})


def test_target_judges_one_engine_alone(three: Path) -> None:
    gates = (ORACLE, DOWNLOAD, {**SPEED, "target": "onnxruntime"})
    passed = ("openvino", "passed")
    assert _judged(three, *gates, target="openvino") == [("openvino", "not_applicable"), passed]
    assert _judged(three, *gates, target="model.openvino.onnx")[1:] == [passed]
    with pytest.raises(SpecError, match="no limit can be decided for the target 'openvino'"):
        _judged(three, ORACLE, target="openvino")
    with pytest.raises(SpecError, match="no engine for the target 'openvin'"):
        _judged(three, DOWNLOAD, target="openvin")


def test_example_of_the_repository_fits_several_runtimes(three: Path) -> None:
    (path,) = (Path(__file__).parents[2] / "gates").glob("*.yaml")
    states = {result.state for result in judge(load_gates(path), three, scoring=Scoring())}
    assert {"passed", "not_applicable", "inconclusive"} <= states
    assert overall(judge(load_gates(path), three, scoring=Scoring(), target="openvino")) == "passed"


def test_overall_is_the_worst(results) -> None:
    assert [overall(results[:n]) for n in (1, 2)] == ["passed", "failed"]
    assert overall([results[0], results[2], results[3]]) == "inconclusive"
    assert overall([results[0], results[3]]) == "passed"


def test_example_of_the_repository_loads() -> None:
    (path,) = (Path(__file__).parents[2] / "gates").glob("*.yaml")
    text = path.read_text()
    load_gates(path)
    commented = re.sub(r"^  # - ", "  - ", text, flags=re.MULTILINE)
    assert len(Gates.model_validate(yaml.safe_load(commented)).gates) == len(load_gates(path).gates) + 3


def test_what_was_not_run_is_judged_by_its_size_alone(run, decide) -> None:
    """Its accuracy is that of its file in float: no engine gave it."""
    folder = run("now", not_run="there is no NVIDIA GPU")
    found = decide({"kind": "accuracy", "min": 0.0}, folder)
    assert found.state == "inconclusive"
    assert found.text.startswith("of its file in float; the engine was not run: there is no NVIDIA GPU")
    assert decide({"kind": "size", "max_bytes": 10**9}, folder).state == "passed"
