"""What a person opens: the folder of a run."""

import json
from collections.abc import Mapping
from pathlib import Path

from edgekd.core.atomic import write_files
from edgekd.errors import StoreError
from edgekd.report.html import render_html
from edgekd.report.schema import Report


def publish(report: Report, *, engines: Mapping[str, Path], spec_yaml: str, folder: Path) -> None:
    """Write the run's folder: the whole new set, ``report.json`` last, or nothing of it.

    It holds the engines, ``report.json``, ``report.html``, ``history.jsonl`` and ``spec.resolved.yaml``.

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
        "history.jsonl": "".join(f"{line}\n" for line in history),
        "spec.resolved.yaml": spec_yaml,
        "report.html": render_html(report),
        "report.json": report.text(),
    }
    contents = {name: path.read_bytes() for name, path in engines.items()}
    contents |= {name: text.encode() for name, text in texts.items()}
    try:
        folder.mkdir(parents=True, exist_ok=True)
        write_files({folder / name: content for name, content in contents.items()})
    except OSError as e:
        what = f"cannot write the run's folder: {e.strerror or e}"
        raise StoreError(
            what, where=str(folder), fix="free space, or choose another folder with --runs"
        ) from e
