import shutil
import subprocess
import sys
from collections.abc import Callable

import pytest

_START = """
import os, sys, time
from contextlib import contextmanager
import numpy as np
from edgekd.board.engine_process import EngineFailed, EngineProcess

def process(opener, seed=0, cores=()):
    return EngineProcess("mine", opener, np.random.default_rng(seed), cores)
"""

DRIVER = """
#include <stdlib.h>
#include <string.h>
#define DEVICE 7
#define CONTEXT ((void *)0x7f0012345678)
#define STREAM ((void *)0x7f0087654320)
typedef unsigned long long address;
int cuInit(unsigned flags) { return flags; }
int cuDeviceGet(int *device, int index) { *device = DEVICE; return index; }
int cuDeviceGetName(char *name, int room, int device) {
  return device == DEVICE && strlen(strncpy(name, "Test GPU", room)) ? 0 : 101;
}
int cuDevicePrimaryCtxRetain(void **context, int device) { *context = CONTEXT; return device - DEVICE; }
int cuCtxSetCurrent(void *context) { return context == CONTEXT ? 0 : 201; }
int cuStreamCreate(void **stream, unsigned flags) { *stream = STREAM; return flags != 1; }
int cuStreamSynchronize(void *stream) { return stream == STREAM ? 0 : 400; }
int cuStreamDestroy_v2(void *stream) { return stream == STREAM ? 0 : 400; }
int cuMemAlloc_v2(address *at, size_t size) { return size >> 40 ? 2 : !(*at = (address)malloc(size)); }
int cuMemFree_v2(address at) { free((void *)at); return 0; }
int cuMemcpyHtoDAsync_v2(address to, const void *from, size_t size, void *stream) {
  return memcpy((void *)to, from, size) && stream == STREAM ? 0 : 400;
}
int cuMemcpyDtoHAsync_v2(void *to, address from, size_t size, void *stream) {
  return memcpy(to, (void *)from, size) && stream == STREAM ? 0 : 400;
}
int cuGetErrorString(int error, const char **words) {
  return !(*words = error == 2 ? "out of memory" : 0);
}
"""


@pytest.fixture
def alone() -> Callable[..., subprocess.Popen[str]]:
    """Return a function that starts a program in a process without threads, so that it may fork."""

    def start(code: str, *arguments: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-W", "error", "-c", _START + code, *arguments]
        return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    return start


@pytest.fixture
def printed(alone: Callable[..., subprocess.Popen[str]]) -> Callable[..., list[str]]:
    """Return a function that runs such a program to its end and returns the lines that it printed."""

    def run(code: str, *arguments: str) -> list[str]:
        with alone(code, *arguments) as process:
            out, err = process.communicate(timeout=60)
        assert process.returncode == 0, err
        return out.splitlines()

    return run


@pytest.fixture
def driver(tmp_path, monkeypatch):
    """Let programs find the test's driver first."""
    compiler = shutil.which("cc")
    if compiler is None:
        pytest.skip("there is no C compiler (cc)")
    source = tmp_path / "driver.c"
    source.write_text(DRIVER)
    command = [compiler, "-shared", "-fPIC", "-o", tmp_path / "libcuda.so.1", source]
    subprocess.run(command, check=True)
    monkeypatch.setenv("LD_LIBRARY_PATH", str(tmp_path))
