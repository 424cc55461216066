"""The verb ``gate``: whether an engine keeps the limits that were set beforehand."""

import os
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any

import typer

from edgekd.cli.exit_codes import FAILED, INCONCLUSIVE, OK
from edgekd.cli.options import AsJson, Mean, Std, Threads, fractions
from edgekd.cli.printing import print_json, print_table, say
from edgekd.cli.workflow_log import in_workflow, print_command
from edgekd.errors import SpecError, StoreError

EXIT_CODES = {"passed": OK, "failed": FAILED, "inconclusive": INCONCLUSIVE}


def _print_workflow(asked: bool) -> None:
    if asked:
        typer.echo(files("edgekd.gate").joinpath("workflow.yml").read_text(encoding="utf-8"), nl=False)
        raise typer.Exit


Workflow = Annotated[
    bool,
    typer.Option("--workflow", is_eager=True, callback=_print_workflow, help="Print a GitHub workflow."),
]


def gate(
    run: Annotated[
        Path | None, typer.Argument(metavar="RUN|MODEL", help="Folder of edgekd compress, or an ONNX file.")
    ] = None,
    gates: Annotated[
        Path | None, typer.Option(help="The limits, always needed; edgekd schema gates shows them.")
    ] = None,
    baseline: Annotated[
        Path | None, typer.Option(metavar="RUN|MODEL", help="An earlier run with its engine, or a model.")
    ] = None,
    data: Annotated[str, typer.Option(help="Of a MODEL: KIND, KIND:PATH or a pipeline file.")] = "",
    mean: Mean = "",
    std: Std = "",
    target: Annotated[
        str, typer.Option(help="Judge the engines of this runtime, or of this file, alone.")
    ] = "",
    threads: Threads = 1,
    junit: Annotated[Path | None, typer.Option(metavar="FILE", help="Write JUnit XML.")] = None,
    markdown: Annotated[Path | None, typer.Option(metavar="FILE", help="Write a Markdown table.")] = None,
    record: Annotated[
        bool, typer.Option("--record", help="Write the results into the report of RUN, too.")
    ] = False,
    workflow: Workflow = False,
    as_json: AsJson = False,
) -> None:
    """Judge a run or a model file by limits: exit 3 if one is missed, 4 if one cannot be decided."""
    from edgekd.core.atomic import check_writable
    from edgekd.gate.gates import judge, load_gates, overall
    from edgekd.gate.model_subject import Scoring
    from edgekd.report.publish import record_gates

    run = _needed("RUN|MODEL", run)
    limits = load_gates(_needed("--gates", gates))
    for folder in [path.absolute().parent for path in (junit, markdown) if path] + [run] * record:
        check_writable(folder)
    scoring = Scoring(_source(data), tuple(fractions(mean)), tuple(fractions(std)), threads)
    results = judge(limits, run, baseline=baseline, scoring=scoring, target=target)
    _write_results(run, results, junit=junit, table=markdown)
    if record:
        record_gates(run, results)
    _show(run, overall(results), results, as_json=as_json)
    raise typer.Exit(EXIT_CODES[overall(results)])


def _needed(name: str, given: Path | None) -> Path:
    if given is None:
        what = f"{name} is missing"
        fix = "edgekd gate RUN --gates FILE; with --workflow alone it prints a workflow to start from"
        raise SpecError(what, where="edgekd gate", fix=fix)
    return given


def _source(data: str) -> Any:
    """Return the data that an option names; None for an empty text."""
    from edgekd.spec import data_from_text

    return data_from_text(data) if data else None


def _write_results(run: Path, results: Sequence[Any], *, junit: Path | None, table: Path | None) -> None:
    """Write the files that were asked for, and the summary of the step where a GitHub workflow runs."""
    from edgekd.gate.junit import junit_xml
    from edgekd.gate.markdown import markdown

    if junit:
        _write(junit, junit_xml(str(run), results))
    if table:
        _write(table, markdown(str(run), results))
    if summary := os.environ.get("GITHUB_STEP_SUMMARY"):
        _write(Path(summary), markdown(str(run), results), mode="a")


def _write(path: Path, text: str, *, mode: str = "w") -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open(mode, encoding="utf-8") as file:
            file.write(text)
    except OSError as e:
        what = f"cannot write the results: {e.strerror}"
        raise StoreError(what, where=str(path), fix="make room there, or name another file") from e


def _show(run: Path, state: str, results: Sequence[Any], *, as_json: bool) -> None:
    """Print the results; where a GitHub workflow runs, its annotations too."""
    from edgekd.gate.github import annotations
    from edgekd.report.words import gate_limit, gate_state, gate_value, one_line

    if as_json:
        gates = [result.model_dump(mode="json") for result in results]
        print_json({"run": str(run), "state": state, "gates": gates})
    else:
        engines = dict.fromkeys(result.engine for result in results)
        for engine in engines:
            rows = [
                (gate_state(one), one.name, gate_limit(one), gate_value(one), one_line(one.text))
                for one in results
                if one.engine == engine
            ]
            title = f"{run}: {state}" if len(engines) == 1 else engine
            print_table(title, ("", "gate", "limit", "measured", "on"), rows, whole=4)
        if len(engines) > 1:
            say(f"{run}: {state}")
    if in_workflow():
        for line in annotations(results):
            print_command(line, err=as_json)
