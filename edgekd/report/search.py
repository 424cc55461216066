"""What a search found, for people: its frontier as rows, and how far its predictions can be trusted."""

from collections.abc import Sequence

from edgekd.report.frontier import Point
from edgekd.report.schema import Report
from edgekd.report.words import count, metric_value, milliseconds, percent, size
from edgekd.search.limits import Cost
from edgekd.search.record import STARTUP, Finalist, SearchRecord, TrialRecord, unbeaten

SEARCH_COLUMNS = ("student", "predicted ms", "measured ms", "p90 ms", "size", "MACs", "validation", "")


def search_rows(record: SearchRecord) -> list[tuple[str, ...]]:
    """Return the frontier and the finalists, the fastest first."""
    finals = {finalist.number: finalist for finalist in record.finalists}
    shown = {trial.number: trial for trial in unbeaten(record.trials)}
    shown |= {trial.number: trial for trial in record.trials if trial.number in finals}
    ordered = sorted(shown.values(), key=lambda trial: trial.predicted.p50_ms)
    return [_row(record, trial, finals.get(trial.number)) for trial in ordered]


def _row(record: SearchRecord, trial: TrialRecord, final: Finalist | None) -> tuple[str, ...]:
    cost = final.measured if final else trial.predicted
    metric = final.metric if final and final.metric else trial.metric
    measured = milliseconds(final.measured.p50_ms) if final else ""
    p90 = milliseconds(final.measured.p90_ms) if final and final.measured.p90_ms is not None else ""
    assert metric is not None
    epochs = "full schedule" if final and final.metric else f"{trial.epochs} epochs"
    return (
        trial.name,
        milliseconds(trial.predicted.p50_ms),
        measured,
        p90,
        size(cost.size_bytes),
        count(cost.macs),
        f"{metric_value(metric)} ({epochs})",
        _remark(record, trial, final),
    )


def _remark(record: SearchRecord, trial: TrialRecord, final: Finalist | None) -> str:
    if trial.number == record.chosen:
        return "chosen"
    return "too costly when measured" if final and final.metric is None else ""


def search_points(record: SearchRecord) -> list[Point]:
    """Return every trained trial as a point of a frontier: finalists as measured, others as predicted."""
    finals = {finalist.number: finalist for finalist in record.finalists if finalist.metric is not None}
    return [
        _point(record, trial, finals.get(trial.number)) for trial in record.trials if trial.metric is not None
    ]


def _point(record: SearchRecord, trial: TrialRecord, final: Finalist | None) -> Point:
    chosen = trial.number == record.chosen
    metric = final.metric if final and final.metric else trial.metric
    cost = final.measured if final else trial.predicted
    assert metric is not None
    return Point(
        run=f"trial {trial.number}",
        label=f"{trial.name}, {'full schedule' if final else f'{trial.epochs} epochs'}",
        style="engine" if chosen else "student_float" if final else "ptq",
        metric=metric,
        size_bytes=cost.size_bytes,
        p50_ms=cost.p50_ms,
        machine=device_name(record),
        strong=final is not None,
        name="chosen" if chosen else trial.name if final else "",
    )


def device_name(record: SearchRecord) -> str:
    """Return what the search's latencies belong to."""
    return ", ".join(filter(None, (record.device["cpu"], record.device["gpu"])))


def search_sentences(record: SearchRecord) -> Sequence[str]:
    """Return why the student was chosen, what was tried, and how well latency was predicted."""
    trained = sum(trial.metric is not None for trial in record.trials)
    costly = sum(bool(record.limits.excesses(trial.predicted)) for trial in record.trials)
    small = sum(
        trial.metric is None and record.limits.use(trial.predicted) < record.least_use
        for trial in record.trials
    )
    learned = record.sampler == "tpe" and trained > STARTUP
    asked = record.limits.model_dump(exclude_none=True)
    said = [
        f"asked for: {', '.join(f'{limit} {value:,}' for limit, value in asked.items())}",
        record.why,
        f"{trained} networks of space {record.space}, of {record.space_size} settings, were trained: "
        + (f"{STARTUP} drawn evenly, the others proposed by TPE" if learned else "drawn evenly"),
    ]
    passed = {
        "cost too much": costly,
        f"used less than {percent(record.least_use)} of every limit": small,
    }
    if any(passed.values()):
        said.append(
            "not trained, by prediction: " + ", ".join(f"{n} {why}" for why, n in passed.items() if n)
        )
    if record.median_error is not None:
        worst = max(abs(check.error) for check in record.checks)
        said.append(
            f"latency table: median error {percent(record.median_error)}, at most {percent(worst)}, of "
            f"{len(record.checks)} drawn at random; the search multiplied its predictions by "
            f"{record.correction:.3g}"
        )
    return said


def search_in_report(report: Report) -> list[str]:
    """Return what a report says of its search, also whether the engine keeps the limits."""
    record, target = report.search, report.targets[0]
    if record is None:
        return []
    said = list(search_sentences(record))
    if target.latency_ms is not None:
        latency = target.latency_ms
        engine = Cost(
            p50_ms=latency.p50, p90_ms=latency.p90, size_bytes=target.size_bytes, macs=report.student.macs
        )
        over = ", ".join(
            f"{one.limit} {one.allowed:,g}: it has {one.text()}" for one in record.limits.excesses(engine)
        )
        said.append(
            f"the engine, measured again, {f'does not keep {over}' if over else 'keeps all limits of cost'}"
        )
    return said
