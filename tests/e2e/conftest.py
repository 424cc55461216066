import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch

from edgekd.core.store import Store
from edgekd.pipeline import compress
from edgekd.report.schema import Report
from edgekd.spec import Pipeline, load_pipeline

ROOT = Path(__file__).parents[2]
TINY = ROOT / "tests" / "specs" / "tiny.yaml"


@dataclass(frozen=True)
class Run:
    """A finished run of ``tiny.yaml`` on a store that was empty before."""

    spec: Pipeline
    store: Path
    runs: Path
    report: Report

    @property
    def folder(self) -> Path:
        return self.runs / "tiny"


Again = Callable[..., Report]


@pytest.fixture(scope="session")
def one_thread() -> Iterator[None]:
    """Small networks are faster on one thread, by far where cores are shared."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="session")
def first_run(one_thread: None, tmp_path_factory: pytest.TempPathFactory) -> Run:
    root = tmp_path_factory.mktemp("e2e")
    spec = load_pipeline(TINY)
    report = compress(
        spec,
        Store(root / "store", pipeline=spec.name),
        runs=root / "runs",
        command="edgekd compress tiny.yaml",
    )
    return Run(spec, root / "store", root / "runs", report)


@pytest.fixture
def store_copy(first_run: Run, tmp_path: Path) -> Path:
    """A copy of the store that the first run filled."""
    shutil.copytree(first_run.store, tmp_path / "store")
    return tmp_path / "store"


@pytest.fixture
def again(first_run: Run, store_copy: Path, tmp_path: Path) -> Again:
    """Compress once more, with overrides, on a copy of that store."""

    def run(*overrides: str) -> Report:
        spec = load_pipeline(TINY, overrides)
        return compress(spec, Store(store_copy, pipeline=spec.name), runs=tmp_path / "runs", command="again")

    return run


@pytest.fixture
def handlers() -> Iterator[None]:
    """The command line takes over two signals; give them back."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A git checkout of benchmarks/ without results."""
    shutil.copytree(ROOT / "benchmarks", tmp_path / "benchmarks", ignore=shutil.ignore_patterns("results"))
    (tmp_path / "benchmarks/results").mkdir()
    git = ("git", "-c", "user.name=edgekd", "-c", "user.email=edgekd@localhost")
    for words in (("init", "-q"), ("add", "."), ("commit", "-qm", "benchmarks")):
        subprocess.run([*git, *words], cwd=tmp_path, check=True)
    return tmp_path
