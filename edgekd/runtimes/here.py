"""This process as a host."""

import tempfile
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from edgekd.board.runtime import How, OpenModel, Runtime, RuntimeRefusal
from edgekd.core.optional import missing, require
from edgekd.runtimes.external_data import external_data, whole
from edgekd.runtimes.host import KNOWN, ONNX_RUNTIME, BuiltEngine, Host, cannot_run, refused
from edgekd.runtimes.session import Session, Tensors, tensor_info


class HereSession(Session):
    """A model that is open in this process."""

    def __init__(self, model: Path | bytes, runtime: str, how: How) -> None:
        if isinstance(model, Path):
            external_data(model)  # refuses what lies outside of its folder
        self._runtime = runtime
        try:
            opened = runtime_here(runtime).open(model if isinstance(model, bytes) else str(model), how)
        except RuntimeRefusal as e:
            raise refused(str(e), runtime, HERE.runtime_version(runtime), model) from e
        self.inputs, self.outputs = (
            [tensor_info(*tensor) for tensor in tensors] for tensors in (opened.inputs, opened.outputs)
        )
        self._opened: OpenModel | None = opened

    @property
    def opened(self) -> OpenModel:
        """The model itself; ValueError once it is closed."""
        if self._opened is None:
            message = "the session is closed"
            raise ValueError(message)
        return self._opened

    def run(self, feeds: Tensors) -> dict[str, NDArray[Any]]:
        """Run once and return every output by name."""
        try:
            return self.opened.run(feeds)
        except RuntimeRefusal as e:
            raise cannot_run(str(e), self._runtime, HERE.runtime_version(self._runtime)) from e

    def close(self) -> None:
        """Let the runtime free its memory and threads."""
        if self._opened is not None:
            self._opened.close()
        self._opened = None


class Here(Host):
    """The runtimes of this process."""

    def facts(self, runtime: str = ONNX_RUNTIME) -> Mapping[str, Any]:
        """Return what the package that is installed says."""
        return runtime_here(runtime).facts()

    def open(
        self,
        model: Path | bytes,
        *,
        runtime: str = ONNX_RUNTIME,
        threads: int = 1,
        optimize: bool = True,
    ) -> Session:
        """Open a model in this process."""
        return HereSession(model, runtime, How(threads=threads, optimize=optimize))

    def shown(self, model: Path | bytes, *, runtime: str = ONNX_RUNTIME, threads: int = 1) -> bytes:
        """Open a model to be looked into, and ask."""
        with tempfile.TemporaryDirectory(prefix="edgekd-") as scratch:
            how = How(threads=threads, shown=True, scratch=scratch)
            with HereSession(whole(model), runtime, how) as session:
                return session.opened.shown()

    def profile(
        self,
        model: Path | bytes,
        feeds: Tensors,
        *,
        runs: int,
        runtime: str = ONNX_RUNTIME,
        threads: int = 1,
        optimize: bool = True,
    ) -> list[tuple[str, float]]:
        """Open a model to be profiled, run it, and ask."""
        with tempfile.TemporaryDirectory(prefix="edgekd-") as scratch:
            how = How(threads=threads, optimize=optimize, profile=True, scratch=scratch)
            with HereSession(model, runtime, how) as session:
                for _ in range(runs):
                    session.run(feeds)
                return session.opened.times()

    def build(self, model: Path, options: Mapping[str, Any], *, runtime: str, cache: bytes) -> BuiltEngine:
        """Have an engine built in this process."""
        try:
            return BuiltEngine(*runtime_here(runtime).build(str(model), options, cache))
        except RuntimeRefusal as e:
            raise refused(str(e), runtime, self.runtime_version(runtime), model) from e


@cache
def runtime_here(name: str) -> Runtime:
    """Return a runtime of this process.

    Raises:
        RuntimeMissing: If it is not installed, with the line that installs it.
    """
    package, extra = KNOWN[name].package, KNOWN[name].extra
    found: Runtime = require(f"edgekd.board.{name}", package=package, extra=extra).RUNTIME
    try:
        found.facts()
    except (ImportError, OSError) as e:  # its own library is missing, or one under that
        raise missing(name, e, package=package, extra=extra) from e
    return found


HERE = Here()
