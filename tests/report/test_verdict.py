import pytest

from edgekd.device.latency import Speedup
from edgekd.report.comparison import ComparedEngine
from edgekd.report.rows import model_rows
from edgekd.report.schema import Metric, Report
from edgekd.report.target_schema import LayerFidelity, Native, TargetReport
from edgekd.report.verdict import Finding, accuracy_cost, findings, gates_finding, outcome


def _target(report: Report, **changes: object) -> TargetReport:
    """Return the first target with changed fields; a dict changes fields of a part."""
    target = report.targets[0]
    parts = {
        name: getattr(target, name).model_copy(update=change) if isinstance(change, dict) else change
        for name, change in changes.items()
    }
    return target.model_copy(update=parts)


def _finding(report: Report, topic: str, target: TargetReport) -> Finding:
    return {finding.topic: finding for finding in findings(report, target)}[topic]


def test_findings_say_what_was_proved(report: Report):
    ratio = next(b.speedup for b in report.targets[0].baselines if b.name == "student_float")
    found = findings(report, report.targets[0])
    sentence = " ".join(f"{finding.topic}: {finding.text}." for finding in found)
    assert "Integer: 0 float operators, 21 in integers." in sentence
    assert "Faithful: 0 oracle mismatches in 18 nodes (1.24 M values)." in sentence
    assert f"{ratio.ratio:.2f}x faster than its float form (99 % interval {ratio.ci[0]:.2f}-" in sentence
    assert "top1 98.9 % (97.2-99.6) against 98.6 % float" in sentence
    assert "90.9 kB, 3.5x smaller" in sentence
    assert all(finding.tone == "good" for finding in findings(report, report.targets[0]))


def test_findings_name_the_operators_when_some_run_in_float(report: Report):
    target = _target(report, coverage={"float_ops": 2, "float_op_names": ("Softmax", "Erf")})
    found = _finding(report, "Integer", target)
    assert found.tone == "warn"
    assert found.text == "2 of 23 operators run in float (1 Softmax, 1 Erf), 1.9 % of the time"


@pytest.mark.parametrize(
    ("change", "tone", "says"),
    [
        ({"oracle_mismatches": 3, "first_mismatch": "conv2"}, "bad", "first in conv2"),
        ({"layer_off_by_more": 5}, "bad", "5 layer values off by more than a tie"),
        ({"oracle_nodes": 0}, "warn", "no integer node was compared"),
        ({"layers": ()}, "warn", "no layer compared"),
        ({"layers": (LayerFidelity(name="conv", off_by_one=0.4, off_by_more=0),)}, "warn", "40.0 % of its"),
    ],
)
def test_findings_do_not_call_an_engine_faithful_when_it_is_not(
    report: Report, change: dict[str, object], tone: str, says: str
):
    found = _finding(report, "Faithful", _target(report, fidelity=change))
    assert found.tone == tone
    assert says in found.text


@pytest.mark.parametrize(
    ("verdict", "tone", "says"),
    [
        ("slower", "bad", "slower, 0.90x the speed of its float form"),
        ("same", "warn", "as fast as its float form"),
        ("inconclusive", "warn", "inconclusive, 0.90x"),
    ],
)
def test_findings_say_so_when_the_engine_is_not_faster(report: Report, verdict: str, tone: str, says: str):
    speedup = Speedup.model_validate({"ratio": 0.9, "ci": (0.85, 0.95), "verdict": verdict})
    baseline = report.targets[0].baselines[1].model_copy(update={"speedup": speedup})
    found = _finding(report, "Fast", _target(report, baselines=(baseline,)))
    assert found.tone == tone
    assert found.text.startswith(says)


def test_what_makes_a_latency_doubtful_stands_beside_the_ratio(report: Report):
    latency = report.targets[0].latency_ms
    assert latency is not None
    assert "doubt" not in _finding(report, "Fast", report.targets[0]).text
    disturbed = latency.model_copy(update={"doubts": ("other processes kept 1.6 cores busy meanwhile",)})
    found = _finding(report, "Fast", _target(report, latency_ms=disturbed))
    assert found.text.endswith("; doubt: other processes kept 1.6 cores busy meanwhile")


def test_findings_are_silent_on_speed_when_nothing_was_timed_beside_the_engine(report: Report):
    topics = [finding.topic for finding in findings(report, _target(report, baselines=()))]
    assert topics == ["Integer", "Faithful", "Accurate", "Small"]


def test_findings_warn_when_accuracy_is_measurably_below_float(report: Report):
    low = Metric(name="top1", value=0.95, ci95=(0.92, 0.97), n=360)
    assert _finding(report, "Accurate", _target(report, metric=low)).tone == "warn"


def test_findings_say_when_training_lost_to_quantization_alone(report: Report):
    worse = report.targets[0].metric.model_copy(update={"value": 0.96, "ci95": (0.94, 0.97)})
    found = _finding(report, "Accurate", _target(report, metric=worse))
    assert found.tone == "warn"
    assert found.text.endswith("; post-training quantization alone gives 97.5 %")


def test_findings_warn_when_the_engine_is_no_smaller(report: Report):
    found = _finding(report, "Small", _target(report, size_bytes=400_000))
    assert (found.tone, found.text) == ("warn", "400 kB, no smaller than its float file (321 kB)")


def _with_last_gate(report: Report, state: str) -> Finding | None:
    last = report.gates[2].model_copy(update={"state": state})
    return gates_finding(report.model_copy(update={"gates": (*report.gates[:2], last)}))


def test_gates_finding_names_failed_gates(report: Report):
    found = _with_last_gate(report, "failed")
    assert found is not None
    assert (found.tone, found.figure) == ("bad", "2 of 3 passed")
    measured = "latency.max_ratio (limit 1.05x, is 1.012x (1.003-1.021))"
    assert found.text == f"1 of 3 gates failed: {measured}"
    open_ = _with_last_gate(report, "inconclusive")
    assert open_ is not None
    assert (open_.tone, open_.text) == ("warn", f"1 of 3 gates cannot be decided: {measured}")
    assert gates_finding(report.model_copy(update={"gates": ()})) is None


def test_accurate_compares_sample_by_sample(report: Report):
    text = _finding(report, "Accurate", report.targets[0]).text
    assert "0.3 points below the teacher (-1.6 to +1.0, p = 1)" in text
    assert "float student (" not in text  # it was not compared


def test_outcome_is_about_what_was_demanded(report: Report):
    slower = Speedup(ratio=0.5, ci=(0.4, 0.6), verdict="slower")
    target = report.targets[0]
    baselines = tuple(item.model_copy(update={"speedup": slower}) for item in target.baselines)
    slow = report.model_copy(update={"targets": (_target(report, baselines=baselines),)})
    assert outcome(slow).state == "passed"
    wrong = _target(report, fidelity={"oracle_mismatches": 2, "first_mismatch": "conv1"})
    assert outcome(report.model_copy(update={"targets": (target, wrong)})).text.startswith(
        "2 oracle mismatch"
    )
    failing = report.gates[0].model_copy(update={"state": "failed"})
    assert outcome(report.model_copy(update={"gates": (failing,)})).state == "failed"
    unseen = _target(report, fidelity={"oracle_nodes": 0})
    assert outcome(report.model_copy(update={"targets": (unseen,)})).state == "inconclusive"


def test_accuracy_cost_is_in_points_against_each_origin(report: Report):
    """356 of 360 right: 1 fewer than the teacher, 1 more than the float student, 5 more than PTQ."""
    assert accuracy_cost(report, report.targets[0]) == (
        "top1 of the engine: -0.3 points against the teacher, +0.3 points against the float student, "
        "+1.4 points against post-training quantization"
    )
    alone = report.model_copy(update={"teacher": None})
    assert "teacher" not in accuracy_cost(alone, report.targets[0])


def test_other_bits_than_on_this_machine_are_told(report: Report):
    """ARM rounds sums otherwise; where the oracle agrees, the engine is what was trained all the same."""
    native = Native(identical=False, values=9, differences=2, first_difference="conv2")
    target = _target(report, native=native, device="emulated")
    found = _finding(report, "Faithful", target)
    assert found.tone == "warn"
    assert found.text.endswith(
        "what emulated computes differs from a native run in 2 of 9 values, first at conv2"
    )
    assert outcome(report.model_copy(update={"targets": (target,), "gates": ()})).state == "passed"


NEAR = {"kind": "openvino", "least_agreement": 0.98, "tolerance_reason": "it rounds less"}


@pytest.mark.parametrize(
    ("agreement", "tone", "state"), [(0.991, "good", "passed"), (0.979, "bad", "failed")]
)
def test_a_runtime_with_its_own_arithmetic_is_judged_by_its_answers(
    report: Report, agreement: float, tone: str, state: str
):
    fidelity = {"oracle_nodes": 0, "layer_off_by_more": 9, "layer_tensors": 20, "layer_unwatched": 3}
    target = _target(report, **NEAR, agreement_top1=agreement, fidelity=fidelity)
    found = _finding(report, "Faithful", target)
    assert found.tone == tone
    assert "98.0 % demanded; 20 tensors watched, 3 cannot be" in found.text
    assert "9 by more (it rounds less)" in found.text
    assert outcome(report.model_copy(update={"targets": (target,), "gates": ()})).state == state


def test_an_engine_that_was_not_run_is_told_and_decides_nothing(report: Report):
    fidelity = {"oracle_nodes": 0}
    target = _target(
        report, **NEAR, agreement_top1=1.0, not_run="no GPU", runtime_version="1.7", latency_ms=None,
        baselines=(), fidelity=fidelity,
    )  # fmt: skip
    assert _finding(report, "Fast", target).text == "built by openvino 1.7, not run: no GPU"
    faithful = _finding(report, "Faithful", target)
    assert faithful.tone == "warn"
    assert faithful.text.startswith("not run; its file in float gives 100.0 % of answers")
    found = outcome(report.model_copy(update={"targets": (*report.targets, target)}))
    assert (found.state, found.text) == ("inconclusive", "openvino was not run: no GPU")
    unbuilt = target.model_copy(update={"not_built": "not installed: pip install it"})
    for one, said in ((target, "built, not run"), (unbuilt, "not built")):
        assert _finding(report, "Integer", one).text.endswith(f"; the engine was {said}")
        accurate = _finding(report, "Accurate", one)
        graph = "computed in float from the file's Q/DQ graph"
        assert (accurate.tone, f"{graph}, for the engine was {said}" in accurate.text) == ("warn", True)
        assert model_rows(report, one)[-1].label.endswith(said.removeprefix("built"))
        assert ComparedEngine("run", report, one, "").cells()[-1] == said
    assert _finding(report, "Fast", unbuilt).text == "not installed: pip install it"


@pytest.mark.parametrize(
    ("source", "tone", "said"),
    [("engine", "good", ""), ("builder", "good", "by the builder"), ("file", "warn", "alone")],
)
def test_integers_are_worth_what_says_so(report: Report, source: str, tone: str, said: str):
    coverage = {"source": source, "float_ops": 0, "fallbacks": (), "float_op_names": ()}
    target = report.targets[0]
    found = _finding(
        report,
        "Integer",
        target.model_copy(update={"coverage": target.coverage.model_copy(update=coverage)}),
    )
    assert found.tone == tone
    assert said in found.text


def test_nothing_compared_decides_nothing(report: Report):
    """A task without answers, on a runtime that shows no node."""
    target = _target(report, **NEAR, agreement_top1=None, fidelity={"oracle_nodes": 0})
    assert outcome(report.model_copy(update={"targets": (target,), "gates": ()})).state == "inconclusive"
