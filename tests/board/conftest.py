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
