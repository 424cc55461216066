"""TensorRT-RTX as a board sees it: its builder needs neither GPU nor driver."""

from __future__ import annotations

import ctypes
import importlib
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from edgekd.board.tensorrt import TensorRt

if TYPE_CHECKING:
    from types import ModuleType

_LIBRARIES = ("libtensorrt_rtx.so.1", "libtensorrt_onnxparser_rtx.so.1")
_BINDINGS, _LIBS = "tensorrt_rtx_bindings", "tensorrt_rtx_libs"


class TensorRtRtx(TensorRt):
    """Engines for NVIDIA's GPUs, finished on the GPU that loads them."""

    @property
    def trt(self) -> ModuleType:
        """NVIDIA's bindings, over the libraries of their own package."""
        return _bindings()

    @property
    def builds_without_gpu(self) -> bool:
        """It does: kernels are compiled where the engine is loaded."""
        return True


@lru_cache(maxsize=None)
def _bindings() -> ModuleType:
    found = find_spec(_LIBS)
    for folder in (found.submodule_search_locations or ()) if found else ():
        for name in _LIBRARIES:  # the bindings look for them among what is loaded
            ctypes.CDLL(str(Path(folder) / name), mode=ctypes.RTLD_GLOBAL)
    return importlib.import_module(_BINDINGS)


RUNTIME = TensorRtRtx("TensorRT-RTX")
