"""What reports say of a search."""

from edgekd.report.html import render_html
from edgekd.report.schema import Report
from edgekd.report.search import search_in_report, search_rows
from edgekd.search.limits import Cost, Limits
from edgekd.search.record import Finalist, SearchRecord, TableCheck, TrialRecord
from edgekd.tasks.metric import Metric


def metric(value: float) -> Metric:
    return Metric(name="top1", value=value, ci95=(value - 0.02, value + 0.02), n=500)


def cost(p50_ms: float) -> Cost:
    return Cost(p50_ms=p50_ms, p90_ms=None, size_bytes=90_000, macs=11_000_000)


def trial(number: int, p50_ms: float, value: float | None, epochs: int) -> TrialRecord:
    found = None if value is None else metric(value)
    name = f"network {number}"
    return TrialRecord(
        number=number, name=name, setting={"a": 1}, predicted=cost(p50_ms), epochs=epochs, metric=found
    )


def searched(report: Report, **limits: float) -> Report:
    measured = cost(0.31).model_copy(update={"p90_ms": 0.36})
    record = SearchRecord(
        space="resnet",
        space_size=8000,
        sampler="tpe",
        limits=Limits.model_validate(limits),
        device={"device": "local", "cpu": "a CPU", "cores": "2", "gpu": ""},
        checks=(TableCheck(name="network 9", predicted_ms=0.22, measured_ms=0.20),),
        trials=(
            trial(0, 0.30, 0.81, 3),
            trial(1, 0.20, 0.75, 3),
            trial(2, 0.10, 0.5, 1),
            trial(3, 9, None, 0),
        ),
        finalists=(Finalist(number=0, measured=measured, metric=metric(0.88)),),
        chosen=0,
        why="network 0 is the most accurate",
    )
    return report.model_copy(update={"search": record})


def test_rows_are_the_frontier_with_the_finalists_as_measured(report: Report) -> None:
    record = searched(report, max_p50_ms=1e9).search
    assert record is not None
    assert search_rows(record) == [
        ("network 1", "0.200", "", "", "90.0 kB", "11.0 M", "75.0 % (3 epochs)", ""),
        ("network 0", "0.300", "0.310", "0.360", "90.0 kB", "11.0 M", "88.0 % (full schedule)", "chosen"),
    ]


def test_a_report_says_whether_the_engine_keeps_the_limits(report: Report) -> None:
    kept = search_in_report(searched(report, max_p50_ms=1e9))
    assert kept[-1] == "the engine, measured again, keeps all limits of cost"
    assert kept[0] == "asked for: max_p50_ms 1,000,000,000.0"
    assert kept[2] == "3 networks of space resnet, of 8000 settings, were trained: drawn evenly"
    assert kept[-2] == (
        "latency table: median error 10.0 %, at most 10.0 %, of 1 drawn at random; the search multiplied its "
        "predictions by 0.909"
    )
    broken = search_in_report(searched(report, max_macs=1))
    macs = report.student.macs
    assert broken[-1] == f"the engine, measured again, does not keep max_macs 1: it has {macs}"
    assert search_in_report(report) == []


def test_a_report_says_how_many_networks_cost_too_much_and_how_many_too_little(report: Report) -> None:
    """Of 0.35 ms network 3 would take 9 ms, network 4 0.15 ms, which is 43 %."""
    found = searched(report, max_p50_ms=0.35).search
    assert found is not None
    trials = (*found.trials, trial(4, 0.15, None, 0))
    record = found.model_copy(update={"trials": trials, "least_use": 0.8})
    said = search_in_report(report.model_copy(update={"search": record}))
    assert said[3] == "not trained, by prediction: 1 cost too much, 1 used less than 80.0 % of every limit"


def test_the_page_shows_the_search(report: Report) -> None:
    page = render_html(searched(report, max_p50_ms=0.35))
    assert page.count('class="limit"') == 2
    assert "How was the student found?" in page
    assert ">chosen</text>" in page
    assert 'class="limit"' not in render_html(searched(report, max_p50_ms=1e9))  # far from every network
    assert "How was the student found?" not in render_html(report)
