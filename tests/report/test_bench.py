import numpy as np
import pytest

from edgekd.board.rounds import Design
from edgekd.core.machine import machine
from edgekd.device.latency import LatencySamples, Measurement
from edgekd.report.bench import MODEL_COLUMNS, BenchReport, bench_report, model_rows, sentences

SAID = {"command": "edgekd bench", "device": "local", "threads": 1, "seed": 0, "notes": ("b takes more",)}


def _report(spread: float, *, sessions: int = 8, slower: float = 1.0, budget_s: float = 60) -> BenchReport:
    """Return a report of ``a`` and of ``b``, which is ``slower`` by a factor, give or take ``spread``."""
    logs = spread * np.resize([-1.0, 1.0], sessions)[:, None, None]
    times = {"a": np.ones((sessions, 3, 4)), "b": slower * np.exp(logs) * np.ones((sessions, 3, 4))}
    samples = {
        name: LatencySamples(name, values, warmup=9, pilot=8, opened_ms=[2.0, 4.0, 3.0], peak_bytes=5_000_000)
        for name, values in times.items()
    }
    found = Measurement(samples, ("it was warm",), cores=(1,))
    design = Design(precision=0.005, budget_s=budget_s)
    sizes = {"a": 1234, "b": 99}
    return bench_report(found, sizes, design, minimum_effect=0.01, machine=machine(), **SAID)


@pytest.mark.parametrize(
    ("slower", "spread", "said"),
    [
        (1.05, 0.001, "a is faster than b: 1.050x (99 % interval 1.049-1.051)"),
        (0.95, 0.001, "a is slower than b: 0.950x (99 % interval 0.949-0.951)"),
        (1.002, 0.001, "a is as fast as b, to within 1 %: 1.002x (99 % interval 1.001-1.003)"),
        (1.002, 0.02, "inconclusive: nothing can be said of a against b: 1.002x (99 % interval 0.976-1.029)"),
    ],
)
def test_sentences_begin_with_the_verdict(slower: float, spread: float, said: str):
    found = _report(spread, slower=slower)
    assert sentences(found)[0] == said
    assert found.inconclusive == (("b",) if said.startswith("inconclusive") else ())


@pytest.mark.parametrize(
    ("spread", "sessions", "said"),
    [
        (0.001, 8, "8 sessions, 8 of them the pilot, on cores 1; an interval of +-0.5 % was reached"),
        (0.02, 8, "an interval of +-0.5 % was asked for, the pilot took the whole budget"),
        (0.02, 20, "20 sessions, 8 of them the pilot, on cores 1; an interval of +-0.5 % was asked for, "
         "the budget of 60 s, or more spread than in the pilot, left +-1.7 %"),
    ],
)  # fmt: skip
def test_sentences_say_how_it_was_measured(spread: float, sessions: int, said: str):
    _, design, *rest = sentences(_report(spread, sessions=sessions))
    assert said in design
    assert rest == ["note: b takes more", "doubt: it was warm"]


def test_rows_hold_what_the_columns_say_and_the_report_survives_json():
    found = _report(0.001)
    rows = [dict(zip(MODEL_COLUMNS, row, strict=True)) for row in model_rows(found)]
    assert rows[0] == {
        "model": "a", "p50 ms": "1.00", "p90": "1.00", "p99": "1.00", "mean": "1.00", "min": "1.00",
        "n": "96", "open ms": "3.00", "peak memory": "5.00 MB", "file": "1.23 kB",
    }  # fmt: skip
    assert BenchReport.model_validate_json(found.model_dump_json()) == found
