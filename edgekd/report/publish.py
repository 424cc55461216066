"""What a person opens: the folder of a run."""

import json
from pathlib import Path

import yaml

from edgekd.core.atomic import write_bytes, write_text
from edgekd.errors import StoreError
from edgekd.report.build import Results, engine_name
from edgekd.report.html import render_html
from edgekd.report.schema import Report


def publish(report: Report, results: Results, folder: Path) -> None:
    """Write engines, ``report.json``, ``report.html``, ``history.jsonl`` and ``spec.resolved.yaml`` into ``folder``.

    Each file appears whole or not at all.

    Raises:
        StoreError: If the folder cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for target in results.targets:
            write_bytes(folder / engine_name(target.target), target.engine.engine_path.read_bytes())
        records = (json.dumps(record.model_dump()) for record in report.student.history)
        write_text(folder / "history.jsonl", "".join(f"{line}\n" for line in records))
        resolved = yaml.safe_dump(results.spec.model_dump(mode="json"), sort_keys=False)
        write_text(folder / "spec.resolved.yaml", resolved)
        write_text(folder / "report.html", render_html(report))
        report.save(folder / "report.json")
    except OSError as e:
        what = f"cannot write the run's folder: {e.strerror or e}"
        raise StoreError(what, where=str(folder), fix="free space, or choose another folder with --runs") from e
