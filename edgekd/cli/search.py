"""The verb ``search``: the student of a pipeline, and nothing more."""

from typing import TYPE_CHECKING, Annotated

import typer

from edgekd.cli.opening import open_run
from edgekd.cli.options import AllowCode, AsJson, Devices, Overrides, SpecFile, StoreRoot
from edgekd.cli.printing import print_json, print_table, say

if TYPE_CHECKING:
    from edgekd.search.record import SearchRecord

Worker = Annotated[
    bool, typer.Option("--worker", help="Share the trials of a search that student.storage keeps.")
]


def search(
    spec: SpecFile,
    overrides: Overrides = [],  # noqa: B006  typer copies it
    worker: Worker = False,
    store: StoreRoot = None,
    allow_code: AllowCode = False,
    devices: Devices = 1,
    as_json: AsJson = False,
) -> None:
    """Search for the student of a pipeline; compress finds the result again and goes on with it."""
    from edgekd.pipeline import join_search
    from edgekd.pipeline import search as find

    suffix = ".worker" if worker else ""
    pipeline, kept = open_run(
        spec, overrides, store=store, allow_code=allow_code, devices=devices, suffix=suffix
    )
    if worker:
        join_search(pipeline, kept)
        say("all trials are finished: edgekd search without --worker trains the finalists")
        return
    record = find(pipeline, kept)
    if as_json:
        print_json(record.model_dump(mode="json"))
    else:
        _print(record)


def _print(record: "SearchRecord") -> None:
    from edgekd.report.search import SEARCH_COLUMNS, search_rows, search_sentences

    print_table("", SEARCH_COLUMNS, search_rows(record))
    say("\n".join(search_sentences(record)))
