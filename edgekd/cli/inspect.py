"""The verb ``inspect``: what runs in integers, where the time goes, and what to change."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Annotated, Any

import typer

from edgekd.cli.exit_codes import FAILED
from edgekd.cli.options import AsJson, ModelFile, TargetText, Threads
from edgekd.cli.printing import exit_unless_faithful, print_table, say, show_faithfulness

SATURATION = "saturation"
"""The rule whose findings are one line: every layer of 8-bit weights has one."""


def inspect(
    model: ModelFile,
    target: TargetText = "onnxruntime",
    threads: Threads = 1,
    top: Annotated[int, typer.Option(min=0, help="How many of the slowest operators to list.")] = 10,
    as_json: AsJson = False,
) -> None:
    """Show which operators run in integers, what each costs, where time is lost and why, and the risks."""
    import onnx_ir as ir

    from edgekd.runtimes.lost_time import lost_time
    from edgekd.runtimes.targets import target_from_text
    from edgekd.runtimes.trial import try_model
    from edgekd.verify.verify import model_file
    from edgekd.verify.verify import verify as prove

    runtime = target_from_text(target, threads=threads)
    file = model_file(model, kind=runtime.kind)
    free_sizes = try_model(file, target=runtime.reader)
    mistakes = runtime.lint(ir.load(file))
    refused = any(mistake.severity == "refused" for mistake in mistakes)
    seen = runtime.stand_in("") if refused else runtime  # the lint says it better than the builder would
    found = prove(file if refused else model, target=seen, free_sizes=free_sizes).faithfulness
    extra = {
        "lost_time": [asdict(item) for item in lost_time(found.coverage.nodes)],
        "saturation": [layer.model_dump(mode="json") for layer in found.saturation],
        "lint": [vars(mistake) for mistake in mistakes],
    }
    show_faithfulness(model, found, tolerance=runtime.tolerance, as_json=as_json, extra=extra)
    if not as_json:
        _print_costs(found.coverage.nodes, top)
        _print_risks(mistakes, found.saturation)
    if refused:
        raise typer.Exit(FAILED)
    exit_unless_faithful(found, tolerance=runtime.tolerance)


def _print_costs(nodes: Sequence[Any], top: int) -> None:
    from edgekd.report.costs import lost_lines, time_shares
    from edgekd.report.words import percent

    shares = time_shares(nodes)
    if shares:
        say(f"time: {shares}")
        rows = [
            (
                percent(cost.time_share),
                cost.node,
                cost.op,
                cost.kind,
                cost.island.replace(cost.node, "itself"),
            )
            for cost in nodes[:top]
        ]
        if rows:
            print_table("Slowest", ("time", "operator", "type", "kind", "float island"), rows)
        for line in lost_lines(nodes):
            say(f"time lost: {line}")


def _print_risks(mistakes: Sequence[Any], saturation: Sequence[Any]) -> None:
    """Print mistakes one by one, and in one line the layers that other CPUs may compute otherwise."""
    from edgekd.report.costs import saturation_line

    rows = [(m.severity, m.rule, m.node, f"{m.what}; {m.fix}") for m in mistakes if m.rule != SATURATION]
    if rows:
        print_table("Lint", ("severity", "rule", "operator", "what, and what to change"), rows)
    risk = saturation_line(saturation)
    if risk:
        say(f"risk: {risk}")
