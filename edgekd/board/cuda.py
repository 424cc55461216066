"""Memory of an NVIDIA GPU through its driver, which is there wherever the GPU works; nothing to install."""

from __future__ import annotations

import ctypes
import subprocess
import sys
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from edgekd.board.fingerprint import read_text
from edgekd.board.runtime import RuntimeRefusal

if TYPE_CHECKING:
    from numpy.typing import NDArray

_DRIVER = "libcuda.so.1"
_ASK = f"""
import ctypes
driver, device, name = ctypes.CDLL("{_DRIVER}"), ctypes.c_int(), ctypes.create_string_buffer(256)
failed = driver.cuInit(0) or driver.cuDeviceGet(ctypes.byref(device), 0)
if not (failed or driver.cuDeviceGetName(name, 256, device)):
    print(name.value.decode(errors="replace"))
"""
_OWN_QUEUE = 1  # a stream that waits for no other


@lru_cache(maxsize=None)
def gpu_name() -> str:
    """Return what the first GPU is called, or the Jetson that it is part of; empty if there is none.

    Another process asks the driver: a process that has used a GPU may not fork, and this one may yet.
    """
    command = [sys.executable, "-I", "-S", "-c", _ASK]
    try:
        asked = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, timeout=60, check=True)
    except (OSError, subprocess.SubprocessError):
        return ""
    name, board = asked.stdout.decode(errors="replace").strip(), read_text("/proc/device-tree/model")
    return board.strip("\0\n ") if name and "Jetson" in board else name


class Cuda:
    """The first GPU, in the context that runtimes share, with one stream; for the thread that makes it.

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
        self._call("cuStreamCreate", ctypes.byref(stream), _OWN_QUEUE)
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
        """Give memory back; whether an error of before allows that is not asked."""
        self._driver.cuMemFree_v2(ctypes.c_uint64(address))

    def close(self) -> None:
        """Give the stream back; the context stays, since runtimes count on it."""
        self._driver.cuStreamDestroy_v2(self._stream)

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
            told = ctypes.c_char_p()
            self._driver.cuGetErrorString(code, ctypes.byref(told))
            words = (told.value or b"not known to it").decode(errors="replace")
            msg = f"the GPU's driver: {name} failed with error {code}: {words}"
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
