"""The stage that runs now: what another process needs to run it too."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class RunningStage:
    """A stage at work.

    Attributes:
        module: Where the stage is defined.
        name: Its name there.
        folder: The folder that it was handed.
        inputs: Specs, artifacts and JSON values.
        named: The same by name.
        devices: Processes that may share its training.
        store: Folder of the store.
        pipeline: Whose stage it is.
    """

    module: str
    name: str
    folder: Path
    inputs: tuple[Any, ...]
    named: Mapping[str, Any]
    devices: int
    store: Path
    pipeline: str

    def function(self) -> Callable[..., None]:
        """Return the stage's function."""
        found: Callable[..., None] = getattr(import_module(self.module), self.name).function
        return found


_running: ContextVar[RunningStage | None] = ContextVar("running", default=None)


def running_stage() -> RunningStage | None:
    """Return the stage that the store runs now, None outside of one."""
    return _running.get()


@contextmanager
def running(stage: RunningStage) -> Iterator[None]:
    """Make ``stage`` the one that runs while the block does."""
    token = _running.set(stage)
    try:
        yield
    finally:
        _running.reset(token)
