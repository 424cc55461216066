"""The device ``emulated``: this machine as another CPU, by QEMU's user mode. It proves bits, not time."""

import platform
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

from pydantic import model_validator

from edgekd.device.device import Connection, DeviceSpec
from edgekd.device.emulation import prepared_folder
from edgekd.device.local import local_runner
from edgekd.device.runner import RunnerConnection
from edgekd.errors import DeviceError

SILENCE_S = 3600.0
"""An emulated CPU may be a hundred times slower than a real one."""

_ARM_CORE = "processor\t: 0\nFeatures\t: {}\nCPU implementer\t: 0x41\nCPU architecture: 8\nCPU part\t: {}\n"
_ARM_BASE = "fp asimd evtstrm aes pmull sha1 sha2 crc32 cpuid"
CPUS = {
    "aarch64": {
        "neoverse-n1": _ARM_CORE.format(f"{_ARM_BASE} atomics asimdhp asimdrdm lrcpc dcpop asimddp", "0xd0c"),
        "cortex-a72": _ARM_CORE.format(_ARM_BASE, "0xd08"),
    },
    "x86_64": {
        "Haswell": "processor\t: 0\nvendor_id\t: GenuineIntel\nmodel name\t: Haswell\nflags\t\t: fma avx2\n"
    },
}
"""CPUs by architecture, with what /proc/cpuinfo says on them; the first is taken if none is named.

neoverse-n1 has the dot product instruction, cortex-a72 (Raspberry Pi 4) has not; Haswell has AVX2, not VNNI.
"""


class EmulatedDevice(DeviceSpec):
    """A CPU of another kind, emulated on this machine: the same bits, no latency.

    Attributes:
        arch: Its architecture; ``edgekd emulate`` prepares what another one than this machine's needs.
        cpu: Its model; the first of the architecture if empty.
    """

    kind: Literal["emulated"] = "emulated"
    text_field = "arch"

    arch: Literal["aarch64", "x86_64"]
    cpu: Literal["", "neoverse-n1", "cortex-a72", "Haswell"] = ""

    @model_validator(mode="after")
    def _of_its_architecture(self) -> "EmulatedDevice":
        if self.cpu and self.cpu not in CPUS[self.arch]:
            msg = f"{self.arch} knows no cpu {self.cpu!r}: one of {', '.join(CPUS[self.arch])}"
            raise ValueError(msg)
        return self

    @property
    def model(self) -> str:
        """The CPU that is emulated."""
        return self.cpu or next(iter(CPUS[self.arch]))

    @property
    def name(self) -> str:
        """``emulated``, the architecture and the CPU."""
        return f"{self.kind} {self.arch} {self.model}"

    @contextmanager
    def connect(self) -> Iterator[Connection]:
        """Start a runner under QEMU."""
        emulator = shutil.which(f"qemu-{self.arch}") or shutil.which(f"qemu-{self.arch}-static")
        if emulator is None:
            what = f"qemu-{self.arch} is not installed"
            raise DeviceError(what, where=self.name, fix="install QEMU's user mode, on Debian: qemu-user")
        with tempfile.TemporaryDirectory(prefix="edgekd-") as scratch:
            system, python = self._system(Path(scratch))
            command = [emulator, "-cpu", self.model, "-L", str(system), *python]
            with local_runner(command, device=self.name, silence_s=SILENCE_S) as channel:
                yield RunnerConnection(channel, times=False)

    def _system(self, scratch: Path) -> tuple[Path, list[str]]:
        """Return the folder where the emulated CPU looks for files first, and what starts its Python."""
        (scratch / "proc").mkdir()
        (scratch / "proc" / "cpuinfo").write_text(CPUS[self.arch][self.model])
        if self.arch == platform.machine():
            return scratch, [sys.executable]
        folder = prepared_folder(self.arch)
        for found in folder.iterdir():
            (scratch / found.name).symlink_to(found)
        return scratch, [str(folder / "usr" / "bin" / "python3"), "-I"]
