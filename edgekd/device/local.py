"""The device ``local``: this machine."""

import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

from edgekd.board.rounds import STANDARD, Design
from edgekd.core.machine import machine
from edgekd.device.archive import runner_archive
from edgekd.device.channel import LONGEST_SILENCE_S, Channel
from edgekd.device.device import Connection, DeviceSpec
from edgekd.device.latency import Measurement
from edgekd.device.runner import RunnerConnection
from edgekd.runtimes.here import HERE
from edgekd.runtimes.session import Tensors
from edgekd.runtimes.target import BuiltModel


class LocalConnection(Connection):
    """This machine: models run in this process, and are measured by a runner beside it."""

    def __init__(self) -> None:
        self.machine, self.host = machine(), HERE

    def measure(
        self,
        models: Mapping[str, BuiltModel],
        feeds: Mapping[str, Tensors],
        *,
        seed: int,
        design: Design = STANDARD,
    ) -> Measurement:
        """Start a runner, which has no torch and no open engine, and have it measure."""
        with local_runner([sys.executable], device="local") as channel:
            return RunnerConnection(channel).measure(models, feeds, seed=seed, design=design)


class LocalDevice(DeviceSpec):
    """This machine."""

    kind: Literal["local"] = "local"

    @contextmanager
    def connect(self) -> Iterator[Connection]:
        """Return this machine, which is always there."""
        yield LocalConnection()


@contextmanager
def local_runner(
    python: list[str], *, device: str, silence_s: float = LONGEST_SILENCE_S
) -> Iterator[Channel]:
    """Start a runner on this machine.

    Args:
        python: Command that starts a Python with numpy and onnxruntime.
        device: How errors call it.
        silence_s: Seconds without a word after which it is given up.
    """
    with tempfile.TemporaryDirectory(prefix="edgekd-", ignore_cleanup_errors=True) as folder:
        archive = Path(folder) / "runner.pyz"
        archive.write_bytes(runner_archive())
        command = [*python, str(archive), "serve", folder]
        with Channel(command, device=device, silence_s=silence_s) as channel:
            yield channel
