"""``edgekd report``: a run's page made anew, or several runs beside each other."""

from pathlib import Path
from typing import Annotated

import typer

from edgekd.cli.options import AsJson
from edgekd.cli.printing import print_json, report_console, say

RunFolders = Annotated[
    list[Path], typer.Argument(metavar="RUN...", help="Folders of runs, as edgekd compress writes them.")
]
PageFile = Annotated[
    Path | None,
    typer.Option("--html", help="Write the page there; of one run, default RUN/report.html."),
]


def report(runs: RunFolders, page: PageFile = None, as_json: AsJson = False) -> None:
    """Write the page of a run anew and print its summary, or compare several runs."""
    if len(runs) == 1:
        _show(runs[0], page, as_json=as_json)
    else:
        _compare(runs, page, as_json=as_json)


def _show(path: Path, page: Path | None, *, as_json: bool) -> None:
    from edgekd.report.publish import write_page
    from edgekd.report.summary import print_summary

    found, written = write_page(path, page)
    if as_json:
        typer.echo(found.text(), nl=False)
    else:
        print_summary(found, report_console())
        say(f"\nReport: {written}")


def _compare(paths: list[Path], page: Path | None, *, as_json: bool) -> None:
    from edgekd.report.comparison import compare
    from edgekd.report.publish import write_comparison
    from edgekd.report.runs import load_runs
    from edgekd.report.summary import print_comparison

    runs = load_runs(paths)
    if page is not None:
        write_comparison(runs, page)
    if as_json:
        print_json([engine.facts() for engine in compare(runs).engines])
        return
    print_comparison(runs, report_console(log_width=140))
    if page is not None:
        say(f"\nReport: {page}")
