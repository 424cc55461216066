"""What the verbs that run a pipeline begin with: the file, and the store that keeps what it makes."""

from pathlib import Path
from typing import TYPE_CHECKING

from edgekd.cli.printing import announce

if TYPE_CHECKING:
    from edgekd.core.store import Store
    from edgekd.spec import Pipeline


def open_run(
    spec: Path, overrides: list[str], *, store: Path | None, allow_code: bool, devices: int, suffix: str = ""
) -> "tuple[Pipeline, Store]":
    """Read a pipeline file and open the store for a run of it.

    Args:
        spec: The file.
        overrides: ``a.b=value``.
        store: Folder of the store; None: the usual one.
        allow_code: Whether the Python files that it names may run.
        devices: Processes that share a training.
        suffix: Of the name under which the store remembers the run.

    Raises:
        SpecError: If the file is wrong.
    """
    from edgekd.core.store import Store, default_store_root
    from edgekd.core.user_code import allow_user_code
    from edgekd.spec import load_pipeline

    if allow_code:
        allow_user_code()
    pipeline = load_pipeline(spec, tuple(overrides))
    root, name = store or default_store_root(), f"{pipeline.name}{suffix}"
    return pipeline, Store(root, pipeline=name, announce=announce, devices=devices)
