"""Memory of an NVIDIA GPU through its driver, which is there wherever the GPU works; nothing to install."""

from __future__ import annotations

import ctypes
import subprocess
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgekd.board.fingerprint import read_text
from edgekd.board.runtime import RuntimeRefusal

if TYPE_CHECKING:
    from numpy.typing import NDArray

_DRIVER = "libcuda.so.1"
_QUERY = ("nvidia-smi", "--query-gpu=name", "--format=csv,noheader")


def gpu_name() -> str:
    """Return what the first GPU is called, or the Jetson that it is part of; empty if there is none.

    The GPU stays untouched: the process may fork afterwards.
    """
    try:
        found = subprocess.run(_QUERY, stdin=subprocess.DEVNULL, capture_output=True, timeout=30, check=True)
        names = found.stdout.decode(errors="replace").splitlines()
    except (OSError, subprocess.SubprocessError):
        names = [
            line.partition(":")[2].strip()
            for path in sorted(Path("/proc/driver/nvidia/gpus").glob("*/information"))
            for line in read_text(str(path)).splitlines()
            if line.startswith("Model:")
        ]
    board = read_text("/proc/device-tree/model").strip("\0\n ")
    return next(iter(names), board if "Jetson" in board else "")


class Cuda:
    """The first GPU, in the context that runtimes share, with one stream.

    Raises:
        RuntimeRefusal: If there is no driver or no GPU.
    """

    def __init__(self) -> None:
        self._driver = _driver()
        self._call("cuInit", 0)
        device, context, stream = ctypes.c_int(), ctypes.c_void_p(), ctypes.c_void_p()
        self._call("cuDeviceGet", ctypes.byref(device), 0)
        self._call("cuDevicePrimaryCtxRetain", ctypes.byref(context), device)
        self._call("cuCtxSetCurrent", context)
        self._call("cuStreamCreate", ctypes.byref(stream), 0)
        self._stream = stream

    @property
    def stream(self) -> int:
        """The stream's handle."""
        return int(self._stream.value or 0)

    def allocate(self, size_bytes: int) -> int:
        """Return the address of new memory of the GPU."""
        address = ctypes.c_uint64()
        self._call("cuMemAlloc_v2", ctypes.byref(address), ctypes.c_size_t(max(1, size_bytes)))
        return int(address.value)

    def free(self, address: int) -> None:
        """Give memory back."""
        self._call("cuMemFree_v2", ctypes.c_uint64(address))

    def to_gpu(self, address: int, array: NDArray[Any]) -> None:
        """Queue a copy of a contiguous array to the GPU."""
        host = ctypes.c_void_p(array.ctypes.data)
        self._call("cuMemcpyHtoDAsync_v2", ctypes.c_uint64(address), host, _size(array), self._stream)

    def from_gpu(self, array: NDArray[Any], address: int) -> None:
        """Queue a copy from the GPU into a contiguous array."""
        host = ctypes.c_void_p(array.ctypes.data)
        self._call("cuMemcpyDtoHAsync_v2", host, ctypes.c_uint64(address), _size(array), self._stream)

    def wait(self) -> None:
        """Wait until all that was queued is done."""
        self._call("cuStreamSynchronize", self._stream)

    def _call(self, name: str, *arguments: Any) -> None:
        code = getattr(self._driver, name)(*arguments)
        if code:
            msg = f"the GPU's driver: {name} failed with error {code}"
            raise RuntimeRefusal(msg)


@lru_cache(maxsize=None)
def _driver() -> ctypes.CDLL:
    try:
        return ctypes.CDLL(_DRIVER)
    except OSError as e:
        msg = f"there is no NVIDIA driver: {e}"
        raise RuntimeRefusal(msg) from e


def _size(array: NDArray[Any]) -> ctypes.c_size_t:
    return ctypes.c_size_t(array.nbytes)
