"""What a person opens: the folder of a run."""

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from edgekd.core.atomic import check_writable, write_files
from edgekd.errors import StoreError
from edgekd.report.html import render_html
from edgekd.report.schema import GateResult, Report
from edgekd.report.templates import render


def check_run_folder(folder: Path) -> None:
    """Say before the long work starts that `publish` could not write into ``folder``.

    Raises:
        StoreError: If the folder, or the one that it would be made in, is no folder or cannot be written.
    """
    with _storage_errors(folder):
        check_writable(folder)


def publish(report: Report, *, engines: Mapping[str, Path], spec_yaml: str, folder: Path) -> None:
    """Write the run's folder: the whole new set, ``report.json`` last, or nothing of it.

    It holds the engines, ``infer.py`` (how to run the first of them without edgekd), ``report.json``,
    ``report.html``, ``history.jsonl`` and ``spec.resolved.yaml``.

    Args:
        report: What the run claims.
        engines: Engine files by the name that they get.
        spec_yaml: The resolved pipeline file.
        folder: The run's folder; made if it does not exist.

    Raises:
        StoreError: If the folder cannot be written.
    """
    history = (json.dumps(record.model_dump()) for record in report.student.history)
    texts = {
        "infer.py": render("infer.py.jinja", engine=next(iter(engines))),
        "history.jsonl": "".join(f"{line}\n" for line in history),
        "spec.resolved.yaml": spec_yaml,
        "report.html": render_html(report),
        "report.json": report.text(),
    }
    contents = {name: path.read_bytes() for name, path in engines.items()}
    contents |= {name: text.encode() for name, text in texts.items()}
    with _storage_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
        write_files({folder / name: content for name, content in contents.items()})


def record_gates(folder: Path, results: Sequence[GateResult]) -> None:
    """Write the results of gates into the report of a run, and make its page again.

    Raises:
        StoreError: If the folder holds no report, or cannot be written.
    """
    report = Report.load(folder / "report.json").model_copy(update={"gates": tuple(results)})
    texts = {"report.html": render_html(report), "report.json": report.text()}
    with _storage_errors(folder):
        write_files({folder / name: text.encode() for name, text in texts.items()})


@contextmanager
def _storage_errors(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as e:
        what = f"cannot write the run's folder: {e.strerror or e}"
        fix = "free space, or choose another folder with --runs"
        raise StoreError(what, where=str(e.filename or folder), fix=fix) from e
