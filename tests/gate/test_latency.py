from pathlib import Path

import numpy as np
import onnx
import pytest

from edgekd.device.latency import LatencySamples, Measurement, Speedup
from edgekd.device.local import LocalConnection
from edgekd.errors import BuildError, SpecError
from edgekd.gate.gates import Gates, judge
from edgekd.gate.model_subject import Scoring

LIMIT = {"kind": "latency", "max_ratio": 1.05}


@pytest.mark.parametrize(
    ("ci", "state"),
    [((1.3, 1.4), "passed"), ((1.31, 1.4), "passed"), ((1.2, 1.29), "failed"), ((1.2, 1.4), "inconclusive")],
)
def test_speed_over_a_model_of_the_run_is_decided_by_its_interval(run, report, decide, ci, state) -> None:
    speedup = Speedup(ratio=1.35, ci=ci, verdict="faster")
    baselines = tuple(item.model_copy(update={"speedup": speedup}) for item in report.targets[0].baselines)
    gate = {"kind": "latency", "min_speedup_over_student_float": 1.3}
    result = decide(gate, run(baselines=baselines))
    assert (result.state, result.value, result.interval) == (state, 1.35, ci)


@pytest.fixture
def timed(monkeypatch: pytest.MonkeyPatch):
    """Return a function that sets what is measured: p50 of the engine and of the baseline, and the spread."""

    def set_times(engine_ms: float, baseline_ms: float, spread: float) -> None:
        factors = np.exp(spread * np.array([-1, 1, -1, 1, -1, 1, -1, 1]))[:, None, None]

        def measure(self, models, feeds, *, seed):
            assert {value.shape for each in feeds.values() for value in each.values()} == {(1, 8, 8, 1)}
            given = {"engine": engine_ms * factors, "baseline": np.full((8, 1, 1), baseline_ms)}
            samples = {name: LatencySamples(name, given[name], warmup=5) for name in models}
            return Measurement(samples, doubts=("others were busy",))

        monkeypatch.setattr(LocalConnection, "measure", measure)

    return set_times


@pytest.mark.parametrize(
    ("engine_ms", "spread", "state"),
    [
        (1.04, 0.001, "passed"),
        (1.06, 0.001, "failed"),
        (1.05, 0.01, "inconclusive"),
        (1.0, 0.2, "inconclusive"),
    ],
)
def test_time_over_the_baseline_is_decided_by_its_interval(
    engine: Path, decide, timed, engine_ms: float, spread: float, state: str
) -> None:
    timed(engine_ms, 1.0, spread)
    result = decide(LIMIT, engine, baseline=engine)
    assert result.interval is not None
    assert result.interval[0] < result.value < result.interval[1]
    assert (result.state, result.value) == (state, pytest.approx(engine_ms))
    assert result.text.endswith("timed now; others were busy")


@pytest.mark.parametrize(("limit_ms", "state"), [(2.1, "passed"), (1.9, "failed"), (2.0, "inconclusive")])
def test_limit_in_milliseconds_is_measured_now(
    engine: Path, decide, timed, limit_ms: float, state: str
) -> None:
    timed(2.0, 0, 0.001)
    result = decide({"kind": "latency", "max_p50_ms": limit_ms}, engine)
    assert (result.state, result.unit, result.value) == (state, "ms", pytest.approx(2.0))


def test_limits_of_one_engine_are_timed_once(engine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A limit over the baseline and one in milliseconds take the same times."""
    calls = []

    def measure(self, models, feeds, *, seed):
        calls.append(tuple(models))
        times = np.exp([[[0.1]], [[-0.1]]])
        return Measurement({name: LatencySamples(name, times, warmup=5) for name in models})

    monkeypatch.setattr(LocalConnection, "measure", measure)
    gates = Gates.model_validate({"version": 1, "gates": [{**LIMIT, "max_p50_ms": 9.0}]})
    assert len(judge(gates, engine, baseline=engine, scoring=Scoring())) == 2
    assert calls == [("engine", "baseline")]


def test_engines_for_other_inputs_are_not_compared(engine: Path, decide, tmp_path: Path) -> None:
    model = onnx.load(engine)
    model.graph.input[0].type.tensor_type.shape.dim[1].dim_value = 4
    model.graph.input[0].type.tensor_type.shape.dim[2].dim_value = 16
    onnx.save(model, tmp_path / "wide.onnx")
    with pytest.raises(SpecError, match="baseline takes uint8 1x4x16x1, not uint8 1x8x8x1"):
        decide(LIMIT, engine, baseline=tmp_path / "wide.onnx")


def test_damaged_baseline_is_no_crash(engine: Path, decide, tmp_path: Path) -> None:
    (tmp_path / "damaged.onnx").write_bytes(engine.read_bytes()[:-100])
    with pytest.raises(BuildError):
        decide(LIMIT, engine, baseline=tmp_path / "damaged.onnx")


def test_an_engine_with_two_inputs_is_timed_too(decide, onnx_model, tmp_path: Path) -> None:
    path = tmp_path / "two.onnx"
    onnx.save(onnx_model("float[n,4] x, float[n,4] z", "float[n,4] y", "y = Add (x, z)", {}), path)
    assert decide({"kind": "latency", "max_p50_ms": 1000.0}, path).state == "passed"
