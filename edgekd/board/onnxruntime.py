"""ONNX Runtime as a board sees it."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from edgekd.board.runtime import How, OpenModel, Runtime
from edgekd.board.sessions import open_session, run_all, runtime_version, saturates_byte_products

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from edgekd.board.runtime import Tensor
    from edgekd.board.visits import Run

_DTYPES = {"float": "float32", "double": "float64"}
_KERNEL_TIME = "_kernel_time"


class OnnxRuntimeModel(OpenModel):
    """A model that ONNX Runtime has open on the CPU."""

    def __init__(self, model: str | bytes, how: How) -> None:
        scratch = Path(how.scratch)
        self._optimized = scratch / "optimized.onnx"
        self._session = open_session(
            model,
            threads=how.threads,
            optimize=how.optimize,
            optimized_path=self._optimized if how.shown else None,
            profile_prefix=scratch / "profile" if how.profile else None,
        )
        self.inputs = [_tensor(found) for found in self._session.get_inputs()]
        self.outputs = [_tensor(found) for found in self._session.get_outputs()]

    def run(self, feeds: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        """Run once and return every output by name."""
        return run_all(self._session, feeds)

    def prepare(self, feeds: Mapping[str, NDArray[Any]]) -> Run:
        """Return one inference of these feeds."""
        return partial(self._session.run, [name for name, *_ in self.outputs], dict(feeds))

    def shown(self) -> bytes:
        """Return the optimised graph, serialized."""
        return self._optimized.read_bytes()

    def times(self) -> list[tuple[str, float]]:
        """Return the kernels of the runtime's own profile."""
        events = json.loads(Path(self._session.end_profiling()).read_text())
        kernels = [event for event in events if event.get("cat") == "Node"]
        return [
            (event["name"][: -len(_KERNEL_TIME)], float(event["dur"]))
            for event in kernels
            if event["name"].endswith(_KERNEL_TIME)
        ]

    def close(self) -> None:
        """Let ONNX Runtime free its memory and threads."""
        self._session = None


class OnnxRuntime(Runtime):
    """ONNX Runtime's CPU kernels."""

    title = "ONNX Runtime"

    def facts(self) -> dict[str, Any]:
        """Return its version, and whether the CPU's 8-bit dot product clips."""
        return {"version": runtime_version(), "saturates": saturates_byte_products()}

    def open(self, model: str | bytes, how: How) -> OpenModel:
        """Open a model on the CPU."""
        return OnnxRuntimeModel(model, how)


def _tensor(found: Any) -> Tensor:
    kind = found.type[len("tensor(") : -1] if found.type.startswith("tensor(") else "object"
    kind = _DTYPES.get(kind, kind)
    try:
        kind = np.dtype(kind).name
    except TypeError:  # text, or what numpy has not
        kind = "object"
    return found.name, kind, [size if isinstance(size, int) else None for size in found.shape]


RUNTIME = OnnxRuntime()
