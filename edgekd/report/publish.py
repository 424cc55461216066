"""What a person opens: the folder of a run."""

import json
from collections.abc import Mapping
from pathlib import Path

from edgekd.core.atomic import write_bytes, write_text
from edgekd.errors import StoreError
from edgekd.report.html import render_html
from edgekd.report.schema import Report
from edgekd.report.templates import render


def publish(report: Report, *, engines: Mapping[str, Path], spec_yaml: str, folder: Path) -> None:
    """Write the run's folder; each file appears whole or not at all.

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
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, path in engines.items():
            write_bytes(folder / name, path.read_bytes())
        write_text(folder / "infer.py", render("infer.py.jinja", engine=next(iter(engines))))
        records = (json.dumps(record.model_dump()) for record in report.student.history)
        write_text(folder / "history.jsonl", "".join(f"{line}\n" for line in records))
        write_text(folder / "spec.resolved.yaml", spec_yaml)
        write_text(folder / "report.html", render_html(report))
        report.save(folder / "report.json")
    except OSError as e:
        what = f"cannot write the run's folder: {e.strerror or e}"
        raise StoreError(
            what, where=str(folder), fix="free space, or choose another folder with --runs"
        ) from e
