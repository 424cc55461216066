"""What a stage is, and what it leaves behind."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, Concatenate, Generic, ParamSpec, TypeVar

from edgekd.errors import StoreError

P = ParamSpec("P")
A = TypeVar("A", bound="Artifact")


@dataclass(frozen=True)
class Artifact:
    """The committed files of one stage. Subclasses add methods that read them, never fields.

    Attributes:
        folder: The files, read-only: ``entries/<stage>/<key>/files`` of the store.
        key: Identity of the inputs, 64 hex digits; empty while the artifact is only planned.
        digest: Identity of the content, 64 hex digits: sha256 over the sorted relative paths and the sha256
            of every file; empty while the artifact is only planned.
    """

    folder: Path
    key: str
    digest: str

    @property
    def stage(self) -> str:
        """Name of the stage that makes this artifact."""
        return self.folder.parent.parent.name

    def path(self, name: str) -> Path:
        """Return the path of the file ``name`` (relative, with forward slashes).

        Raises:
            StoreError: If the artifact has no such file.
        """
        path = self.folder / name
        parts = PurePosixPath(name)
        if parts.is_absolute() or ".." in parts.parts or not path.is_file():
            what = f"artifact {type(self).__name__} has no file {name!r}"
            raise StoreError(what, where=str(self.folder))
        return path

    def read_json(self, name: str) -> Any:
        """Return the content of the JSON file ``name``.

        Raises:
            StoreError: If the file is missing or is not JSON.
        """
        path = self.path(name)
        try:
            return json.loads(path.read_bytes())
        except ValueError as e:
            what = f"{name!r} of artifact {type(self).__name__} is not JSON: {e}"
            raise StoreError(what, where=str(path)) from e


@dataclass(frozen=True)
class Stage(Generic[P, A]):
    """A function from specs and artifacts to one artifact.

    Attributes:
        name: Name of the function; part of the key.
        version: To be raised when the same inputs give another result; part of the key.
        artifact: Class of the result.
        function: Writes the result into the folder that it is handed, and nowhere else.
    """

    name: str
    version: int
    artifact: type[A]
    function: Callable[Concatenate[Path, P], None]


def stage(
    artifact: type[A], *, version: int
) -> Callable[[Callable[Concatenate[Path, P], None]], Stage[P, A]]:
    """Turn a function into a stage named after it.

    The function gets an empty folder. What it puts below ``scratch/`` there (checkpoints) does not become
    part of the artifact, and is found again after an interruption: make it with
    ``(folder / "scratch").mkdir(exist_ok=True)``.

    Args:
        artifact: Class of the artifact that the function's files make up.
        version: 1 at first; raise it when the same inputs give another result.

    Example:
        >>> @stage(Artifact, version=1)
        ... def greet(folder: Path, name: str) -> None:
        ...     (folder / "greeting.txt").write_text(f"hello {name}")
        >>> greet.name, greet.version
        ('greet', 1)
    """

    def decorate(function: Callable[Concatenate[Path, P], None]) -> Stage[P, A]:
        return Stage(name=function.__name__, version=version, artifact=artifact, function=function)

    return decorate
