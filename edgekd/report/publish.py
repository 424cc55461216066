"""What a person opens: the folder of a run."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from edgekd.core.atomic import check_writable, write_files, write_text
from edgekd.errors import StoreError
from edgekd.report.html import render_comparison, render_html
from edgekd.report.runs import REPORT_FILE, Run, siblings
from edgekd.report.schema import GateResult, Report
from edgekd.report.templates import render

PAGE = "report.html"


def check_run_folder(folder: Path) -> None:
    """Say before the long work starts that `publish` could not write into ``folder``.

    Raises:
        StoreError: If the folder, or the one that it would be made in, is no folder or cannot be written.
    """
    with _storage_errors(folder):
        check_writable(folder)


def publish(report: Report, *, engines: Mapping[str, Path], spec_yaml: str, folder: Path) -> None:
    """Write the run's folder: the whole new set, ``report.json`` last, or nothing of it.

    It holds the engines, ``infer.py`` (how to run the first ONNX file without edgekd), ``report.json``,
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
        "infer.py": render("infer.py.jinja", engine=_runs_on_onnxruntime(engines)),
        "history.jsonl": "".join(f"{line}\n" for line in history),
        "spec.resolved.yaml": spec_yaml,
        PAGE: render_html(report, siblings(folder, report)),
        REPORT_FILE: report.text(),
    }
    contents = {name: path.read_bytes() for name, path in engines.items()}
    contents |= {name: text.encode() for name, text in texts.items()}
    with _storage_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
        write_files({folder / name: content for name, content in contents.items()})


def _runs_on_onnxruntime(names: Iterable[str]) -> str:
    """Return the file that ``infer.py`` opens: ONNX Runtime's own, or what stands for another runtime's."""
    files = [name for name in names if name.endswith(".onnx")]
    return next((name for name in files if name.startswith("model.onnxruntime")), files[0])


def record_gates(folder: Path, results: Sequence[GateResult]) -> None:
    """Write the results of gates into the report of a run, and make its page again.

    Raises:
        StoreError: If the folder holds no report, or cannot be written.
    """
    report = Report.load(folder / REPORT_FILE).model_copy(update={"gates": tuple(results)})
    texts = {PAGE: render_html(report, siblings(folder, report)), REPORT_FILE: report.text()}
    with _storage_errors(folder):
        write_files({folder / name: text.encode() for name, text in texts.items()})


def write_page(path: Path, page: Path | None = None) -> tuple[Report, Path]:
    """Render the page of a run anew from its report.json, beside the runs that stand there now.

    Args:
        path: The run's folder, or its report.json.
        page: The file to write; ``report.html`` of the run's folder by default.

    Returns:
        The report, and the file.

    Raises:
        StoreError: If there is no report, or the page cannot be written.
    """
    run = Run.load(path)
    folder = path if path.is_dir() else path.parent
    written = page or folder / PAGE
    _write(written, render_html(run.report, siblings(folder, run.report)))
    return run.report, written


def write_comparison(runs: Sequence[Run], page: Path) -> None:
    """Write the page of several runs.

    Raises:
        StoreError: If it cannot be written.
    """
    _write(page, render_comparison(runs))


def _write(page: Path, html: str) -> None:
    with _storage_errors(page):
        page.parent.mkdir(parents=True, exist_ok=True)
        write_text(page, html)


@contextmanager
def _storage_errors(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as e:
        what = f"cannot write the report: {e.strerror or e}"
        fix = "free space, or choose another place with --runs or --html"
        raise StoreError(what, where=str(e.filename or folder), fix=fix) from e
