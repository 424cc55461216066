"""The house rules that a machine can check."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from edgekd.board.runtime import RUNTIMES

ROOT = Path(__file__).parents[1]
SOURCES = sorted((ROOT / "edgekd").rglob("*.py"))
PYTHON = ("edgekd", "tests", "benchmarks", ".ci")
LONG_FILE, LONG_FUNCTION = 400, 40
WITHOUT_TORCH = ("board", "core", "lower", "runtimes", "device", "verify", "report", "gate")
NUMPY_HALVES = (
    "data.dataset",
    "data.digits",
    "data.parquet",
    "data.manifest",
    "data.paths",
    "data.decode",
    "data.image_folder",
    "data.arrays",
    "data.python",
    "data.hub",
    "tasks.classification",
    "tasks.python",
)


def _run(*command: str, module: bool = True) -> None:
    start = [sys.executable, "-m"] if module else [str(Path(sys.executable).parent / "lint-imports")]
    done = subprocess.run([*start, *command], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_layers_are_kept() -> None:
    _run(module=False)


def test_style_is_clean() -> None:
    _run("ruff", "check", "--no-cache", *PYTHON)


def test_format_is_clean() -> None:
    _run("ruff", "format", "--check", "--no-cache", *PYTHON)


def test_types_are_clean() -> None:
    _run("mypy")


def _module(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def test_the_board_has_no_torch() -> None:
    modules = [_module(path) for path in SOURCES if path.parent.name in WITHOUT_TORCH]
    modules += ["edgekd", "edgekd.errors", *(f"edgekd.{name}" for name in NUMPY_HALVES)]
    assert len(modules) > 40
    code = (
        f"import sys, importlib; [importlib.import_module(name) for name in {modules}];"
        "sys.exit(', '.join({'torch', 'lightning_fabric', 'sklearn'} & set(sys.modules)) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_the_board_needs_old_python_numpy_and_a_runtime_only() -> None:
    """What runs on a board is read as Python 3.8 reads it and imports nothing else of edgekd.

    The module of a runtime is called as that.
    """
    board = [path for path in SOURCES if path.parent.name == "board"]
    assert len(board) > 10
    allowed = {*sys.stdlib_module_names, "numpy", *RUNTIMES}
    for path in board:
        tree = ast.parse(path.read_text(), feature_version=(3, 8))
        for node in ast.walk(tree):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            strange = [name for name in names if name.partition(".")[0] not in {*allowed, path.stem}]
            assert all(name.startswith("edgekd.board") for name in strange), f"{path.name} imports {strange}"


@pytest.mark.parametrize("path", SOURCES, ids=_module)
def test_imports_are_absolute_and_at_the_top(path: Path) -> None:
    tree = ast.parse(path.read_text())
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"relative import in line {node.lineno}"
    if path.parent.name in ("cli", "board"):  # a verb is quick, and a board says what it lacks
        return
    for function in _functions(tree):
        for node in ast.walk(function):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            hidden = [name for name in names if name.partition(".")[0] == "edgekd"]
            assert not hidden, f"{function.name} imports {hidden[0]} in line {node.lineno}"


def test_packages_have_empty_init_files() -> None:
    packages = {path.parent for path in SOURCES} - {ROOT / "edgekd"}
    assert len(packages) >= 16
    assert {package for package in packages if (package / "__init__.py").read_text()} == set()


def test_long_files_and_functions_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    """A length is something to explain in review, no reason to fail."""
    found = []
    for path in SOURCES:
        text = path.read_text()
        if len(text.splitlines()) > LONG_FILE:
            found.append(f"{path.relative_to(ROOT)}: {len(text.splitlines())} lines")
        for function in _functions(ast.parse(text)):
            if _length(function) > LONG_FUNCTION:
                place = f"{path.relative_to(ROOT)}:{function.lineno}"
                found.append(f"{place}: {function.name} has {_length(function)} lines")
    with capsys.disabled():
        print("".join(f"\nlong: {line}" for line in found))


def _functions(tree: ast.AST) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    return (node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))


def _length(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Lines from ``def`` to the end, without the docstring."""
    assert function.end_lineno is not None
    first = function.body[0]
    documented = isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant)
    docstring = (first.end_lineno or 0) - first.lineno + 1 if documented else 0
    return function.end_lineno - function.lineno + 1 - docstring
