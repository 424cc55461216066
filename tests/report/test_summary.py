import io

import pytest
from rich.console import Console

from edgekd.report.schema import Report
from edgekd.report.summary import print_summary
from edgekd.report.target_schema import Fallback


def _printed(report: Report, *, width: int = 100) -> str:
    console = Console(file=io.StringIO(), width=width, color_system=None)
    print_summary(report, console)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_print_summary_gives_the_verdict_before_the_tables(report: Report):
    lines = _printed(report).splitlines()
    assert lines[0] == "digits_int8 on onnxruntime, local"
    assert lines[1] == "✓ Gates    all 4 gates passed"
    table = next(i for i, line in enumerate(lines) if "p50 ms" in line)
    assert all(any(topic in line for line in lines[:table]) for topic in ("Integer", "Faithful", "Fast"))


def test_print_summary_shows_each_model_in_one_row(report: Report):
    lines = _printed(report).splitlines()
    row = next(line for line in lines if "Float student" in line).split()
    assert row[2:7] == ["98.6", "%", "96.8-99.4", "321", "kB"]
    for label in ("Teacher", "PTQ student", "Fake-quant", "Integer engine"):
        assert sum(line.strip().startswith(label) for line in lines) == 1


def test_print_summary_says_what_the_file_is_made_of(report: Report):
    assert (
        "File: weights 78.9 kB, graph 12.0 kB, compressed 71.3 kB; "
        "layers: 1 of 8 bits; 1 of 2 bits, table of 3"
    ) in " ".join(_printed(report).split())


def test_print_summary_says_where_the_time_goes(report: Report):
    text = " ".join(_printed(report, width=200).split())
    assert "Coverage: 21 operators in integers, 0 in float; time: 65.0 % integer, 0.0 % float, 5.0 %" in text
    assert "time lost: 3.1 % QuantizeLinear (image.q): take uint8 pixels [pixels]" in text
    assert "without VNNI, 3 of 16 channels in 1 layer (first stem) may saturate" in text


def test_print_summary_fits_100_columns_when_numbers_are_long(report: Report):
    target = report.targets[0]
    long = target.model_copy(
        update={
            "metric": target.metric.model_copy(update={"n": 50_000, "value": 1.0, "ci95": (0.99, 1.0)}),
            "latency_ms": target.latency_ms.model_copy(
                update={"p50": 12345.6, "p90": 12345.6, "p99": 12345.6}
            ),
            "baselines": tuple(
                baseline.model_copy(
                    update={
                        "p50": 12345.6,
                        "speedup": baseline.speedup.model_copy(update={"ratio": 12.34, "ci": (12.31, 12.41)}),
                    }
                )
                for baseline in target.baselines
            ),
        }
    )
    text = _printed(report.model_copy(update={"targets": (long,)}))
    assert max(map(len, text.splitlines())) <= 100
    assert "…" not in text
    assert "12.3x (12.3-12.4)" in text


def test_print_summary_gives_every_reason_for_float(report: Report):
    target = report.targets[0]
    fallback = Fallback(node="/head/Softmax", op="Softmax", reason="no integer kernel")
    coverage = target.coverage.model_copy(
        update={"fallbacks": (fallback,), "float_ops": 1, "float_op_names": ("Softmax",)}
    )
    changed = report.model_copy(
        update={
            "targets": (target.model_copy(update={"coverage": coverage}),),
        }
    )
    text = _printed(changed)
    assert "float: /head/Softmax (Softmax): no integer kernel" in text


@pytest.mark.parametrize("pipeline", ["[red]x[/red]", "[/]"])
def test_print_summary_prints_markup_as_text(report: Report, pipeline: str):
    changed = report.model_copy(update={"pipeline": pipeline})
    assert _printed(changed).startswith(f"{pipeline} on")


def test_print_summary_prints_nothing_that_a_terminal_obeys(report: Report):
    stage = report.stages[0].model_copy(update={"why": "\x1b[2Jgone"})
    changed = report.model_copy(update={"pipeline": "\x1b]0;x\x07", "stages": (stage,), "command": "\x9b2J"})
    assert not set(_printed(changed)) & {"\x1b", "\x07", "\x9b"}
