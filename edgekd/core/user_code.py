"""The user's own Python behind a ``python:`` hook: named by a pipeline file, run when a person allows it.

A pipeline file is data that may come from anywhere. It can name a function, but nothing is imported before
the person who started this process has said so (``--allow-code``). ``check``, ``schema`` and ``list`` never
import it.
"""

import ast
import hashlib
import importlib.util
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pydantic import Field, JsonValue, ValidationInfo, field_validator

from edgekd.core.spec_base import Spec, json_digest
from edgekd.errors import EdgeKdError, SpecError

_ALLOWED = False


def allow_user_code() -> None:
    """Let this process run what ``python:`` hooks name: what ``--allow-code`` does."""
    global _ALLOWED  # one process, one decision, made by a person
    _ALLOWED = True


def user_code_is_allowed() -> bool:
    """Whether `allow_user_code` was called in this process."""
    return _ALLOWED


class UserFunction(Spec):
    """A function in a file of the user's.

    Attributes:
        file: Path of the Python file; relative to the folder of the pipeline file that names it.
        function: Its name.
        options: Keyword arguments, handed over as they are.
    """

    file: str
    function: str = Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")
    options: dict[str, JsonValue] = Field(default={})

    @field_validator("file")
    @classmethod
    def _from_the_pipeline_file(cls, file: str, info: ValidationInfo) -> str:
        folder = (info.context or {}).get("folder")
        path = Path(file) if folder is None else folder / file
        if path.suffix != ".py" or not path.is_file():
            msg = f"no such Python file: {path}: give the path of a .py file, relative to the pipeline file"
            raise ValueError(msg)
        return str(path)

    @classmethod
    def from_text(cls, text: str) -> dict[str, str]:
        """Return the fields that ``FILE:FUNCTION`` stands for."""
        file, colon, function = text.rpartition(":")
        if not colon:
            msg = f"{text!r} names no function: write FILE:FUNCTION, such as nets/mine.py:build"
            raise ValueError(msg)
        return {"file": file, "function": function}

    @property
    def digest(self) -> str:
        """Hex sha256 of the call, the file and every local file that it imports; not of where they lie."""
        sources = {name: _sha256(path) for name, path in _sources(Path(self.file)).items()}
        call = {"function": self.function, "options": self.options}
        return json_digest({"call": call, "sources": sources})

    def load(self) -> Callable[..., Any]:
        """Import the file and return the function.

        Raises:
            SpecError: If nobody allowed it, or the file has no such function, or fails when imported.
        """
        where = f"{self.file}:{self.function}"
        if not _ALLOWED:
            what = f"the pipeline runs code of yours: {where}"
            raise SpecError(what, where="--allow-code", fix="read the file; add --allow-code if you trust it")
        try:
            with _only_known_modules(Path(self.file)):
                module = _import(Path(self.file).absolute())
        except SpecError:
            raise
        except Exception as e:
            what = f"the file fails when it is imported: {type(e).__name__}: {e}"
            raise SpecError(what, where=self.file, fix="mend it; python FILE shows the whole trace") from e
        found = getattr(module, self.function, None)
        if not callable(found):
            what = f"{self.file} has no function {self.function!r}"
            raise SpecError(what, where=where, fix="name a function of the file's top level")
        function: Callable[..., Any] = found
        return function

    def call(self, **arguments: Any) -> Any:
        """Call the function with ``options`` and ``arguments``.

        Raises:
            SpecError: If it cannot be loaded, or raises; the user's line is named.
        """
        function = self.load()
        try:
            with _only_known_modules(Path(self.file)):
                return function(**arguments, **self.options)
        except EdgeKdError:
            raise
        except Exception as e:
            what = f"{self.function} raised {type(e).__name__}: {e}"
            raise SpecError(what, where=f"{self.file}:{_line(e, self.file)}", fix="mend the function") from e


def _import(path: Path) -> Any:
    """Import a file once per content, with its folder open for its own imports."""
    name = f"edgekd_user_{hashlib.sha256(str(path).encode() + path.read_bytes()).hexdigest()[:16]}"
    if name not in sys.modules:
        if str(path.parent) not in sys.path:
            sys.path.append(str(path.parent))
        spec = importlib.util.spec_from_file_location(name, path)
        assert spec is not None and spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules[name] = module
        try:
            spec.loader.exec_module(module)
        except BaseException:
            del sys.modules[name]
            raise
    return sys.modules[name]


@contextmanager
def _only_known_modules(file: Path) -> Iterator[None]:
    """Refuse what the digest does not know: its file would change and cached results would stay.

    Raises:
        SpecError: If an import of the file's own folder gave another module of that name, or if a file of the
            folder is imported by other means than an import statement.
    """
    root, sources = file.absolute().parent, _sources(file)
    before = set(sys.modules)
    yield
    for name, path in sources.items():
        loaded = _file_of(".".join(Path(name.removesuffix("/__init__.py")).with_suffix("").parts))
        if path != file.absolute() and loaded not in (None, path):
            what = f"import finds {loaded}, not {path}, which has the same name"
            raise SpecError(what, where=str(file), fix=f"give {path.name} another name")
    for name in set(sys.modules) - before:
        found = _file_of(name)
        if found is None or root not in found.parents or found in (*sources.values(), file.absolute()):
            continue
        if not {"site-packages", "dist-packages"} & set(found.parts):
            what = f"{found.name} is imported, but by no import statement: a change in it would go unseen"
            raise SpecError(what, where=str(file), fix=f"write an import statement for {found.name}")


def _file_of(module: str) -> Path | None:
    file = getattr(sys.modules.get(module), "__file__", None)
    return None if file is None else Path(file).absolute()


def _line(error: BaseException, file: str) -> int:
    trace, line = error.__traceback__, 0
    while trace is not None:
        if Path(trace.tb_frame.f_code.co_filename) == Path(file).absolute():
            line = trace.tb_lineno
        trace = trace.tb_next
    return line


def _sources(file: Path) -> dict[str, Path]:
    """Return a file and the local files that it imports, directly or not, by name relative to its folder."""
    root = file.absolute().parent
    found: dict[str, Path] = {}
    pending = [file.absolute()]
    while pending:
        path = pending.pop()
        name = path.relative_to(root).as_posix()
        if name not in found:
            found[name] = path
            pending.extend(_local_imports(path, root))
    return dict(sorted(found.items()))


def _local_imports(path: Path, root: Path) -> list[Path]:
    try:
        tree = ast.parse(path.read_bytes())
    except (SyntaxError, ValueError):
        return []  # importing it will say so
    modules: list[tuple[Path, str]] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            modules += [(root, alias.name) for alias in node.names]
        if isinstance(node, ast.ImportFrom):
            above = path.parents[node.level - 1] if node.level else root
            base = node.module or ""
            modules += [(above, base), *((above, f"{base}.{alias.name}".strip(".")) for alias in node.names)]
    candidates = [
        candidate
        for folder, module in modules
        if module and module.partition(".")[0] != "edgekd"  # the one that runs, whatever lies in the folder
        for candidate in _files_of(folder.joinpath(*module.split(".")), root)
    ]
    return [candidate for candidate in candidates if candidate.is_file()]


def _files_of(module: Path, root: Path) -> list[Path]:
    """A module's file, or its package's, with the packages that it lies in."""
    packages = [folder / "__init__.py" for folder in module.parents if root in folder.parents]
    inside = [path for path in (module.with_suffix(".py"), module / "__init__.py") if root in path.parents]
    return [*packages, *inside]


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
