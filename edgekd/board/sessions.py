"""ONNX Runtime on the CPU of whatever machine this runs on, with the same codes on every one."""

from __future__ import annotations

import base64
import os
import zlib
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")  # else it leaves a file and tells its maker of its use

import onnxruntime as ort

from edgekd.board.runtime import RuntimeRefusal, one_line

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from numpy.typing import NDArray

_FATAL_ONLY = 4
PROVIDERS = ("CPUExecutionProvider",)
"""edgekd measures the CPU; other providers would have to be asked for."""


_PROBE = (
    "eNrjYLe6xcQlwcVYwcVYLsRYqcTrm1jiW5rjmVeSmp5aJMRaUJSflKrVw8QhwCEgwOzEWO7VwFQ/wkGUMDC8hPi4eDiYhDi4mDgYgVgg"
    "CShYCRZkQwg6sXAxCPACAItej1Y="
)


def runtime_version() -> str:
    """Return ONNX Runtime's version here."""
    return str(ort.__version__)


def open_session(
    model: str | bytes,
    *,
    threads: int = 1,
    optimize: bool = True,
    optimized_path: Path | None = None,
    profile_prefix: Path | None = None,
) -> ort.InferenceSession:
    """Open a model on the CPU so that its integer kernels give the same codes on every CPU.

    Args:
        model: Path of a file, or a serialized model.
        threads: Threads of one inference.
        optimize: False runs the nodes exactly as the file has them.
        optimized_path: Where to write the graph that runs.
        profile_prefix: Where to write the runtime's own profile, which the session's ``end_profiling`` ends.

    Raises:
        RuntimeRefusal: If ONNX Runtime refuses the model.
    """
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = _FATAL_ONLY
    level = ort.GraphOptimizationLevel
    options.graph_optimization_level = level.ORT_ENABLE_ALL if optimize else level.ORT_DISABLE_ALL
    if saturates_byte_products():
        options.add_session_config_entry("session.x64quantprecision", "1")
    if optimized_path is not None:
        options.optimized_model_filepath = str(optimized_path)
    if profile_prefix is not None:
        options.enable_profiling = True
        options.profile_file_prefix = str(profile_prefix)
    try:
        return ort.InferenceSession(model, options, providers=list(PROVIDERS))
    except Exception as e:
        raise RuntimeRefusal(one_line(e)) from e


def run_all(session: ort.InferenceSession, feeds: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    """Run once and return every output by name.

    Raises:
        RuntimeRefusal: If a kernel refuses its inputs.
    """
    names = [output.name for output in session.get_outputs()]
    try:
        return dict(zip(names, session.run(names, dict(feeds))))
    except Exception as e:
        raise RuntimeRefusal(one_line(e)) from e


@lru_cache(maxsize=None)
def saturates_byte_products() -> bool:
    """Whether this CPU's 8-bit dot product clips intermediate sums, as x86 does without VNNI.

    Asks the kernel itself: 16 products of 255 * 127 must add up. Where they do not, ONNX Runtime has to be
    told ``session.x64quantprecision=1``; elsewhere that option only costs speed (a factor of two on a
    ResNet-20).
    """
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1  # no thread is started: the process may fork later
    session = ort.InferenceSession(probe(), options, providers=list(PROVIDERS))
    (y,) = session.run(None, {"x": np.full((1, 16), 255, np.uint8)})
    return bool((y != 16 * 255 * 127).any())


def probe() -> bytes:
    """Return an ONNX file, y = MatMulInteger(x, w), with x uint8 (1, 16) and w int8 (16, 16), all 127."""
    return zlib.decompress(base64.b64decode(_PROBE))
