"""What a number was measured on: the fingerprint that every report carries."""

import os
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from edgekd.core.spec_base import Spec

MAX_THREADS = 256
"""Of one inference; more would only wait for each other."""

INTEGER_ISA = (
    "avx2",
    "avx512f",
    "avx512_vnni",
    "avx_vnni",
    "avx512_bf16",
    "amx_int8",
    "amx_bf16",
    "asimd",
    "asimddp",
    "i8mm",
)
"""CPU features that decide how fast integer and reduced-precision kernels run, by their names in Linux."""

RUNTIME_PACKAGES = (
    "edgekd",
    "numpy",
    "onnxruntime",
    "onnxruntime-gpu",
    "openvino",
    "tensorrt",
    "torch",
)
"""Packages whose version can change a result."""


class Machine(Spec):
    """Fingerprint of the machine and the software on it.

    Attributes:
        cpu: Model name as the system gives it.
        cores: Logical cores that this process may use.
        isa: Those of ``INTEGER_ISA`` that the CPU has; empty where the system does not say.
        os: Kernel name, release and architecture.
        python: Python version.
        runtime_versions: Version of each installed package of ``RUNTIME_PACKAGES``.
    """

    cpu: str
    cores: int
    isa: tuple[str, ...]
    os: str
    python: str
    runtime_versions: dict[str, str]


def machine() -> Machine:
    """Return the fingerprint of this machine. Imports none of the packages whose version it tells."""
    cpu, isa = parse_cpuinfo(_read_text(Path("/proc/cpuinfo")))
    board = _read_text(Path("/proc/device-tree/model")).strip("\0\n ")
    return Machine(
        cpu=" / ".join(filter(None, (board, cpu))) or platform.processor() or platform.machine(),
        cores=usable_cores(),
        isa=isa,
        os=f"{platform.system()} {platform.release()} {platform.machine()}",
        python=platform.python_version(),
        runtime_versions=_installed_versions(RUNTIME_PACKAGES),
    )


def parse_cpuinfo(text: str) -> tuple[str, tuple[str, ...]]:
    r"""Return the CPU's name and the features of interest from the text of ``/proc/cpuinfo``.

    Args:
        text: The file's content, x86 (``model name``, ``flags``) or ARM (``CPU part``, ``Features``); may
            be empty.

    Returns:
        The name, empty if the text has none, and the features in the order of ``INTEGER_ISA``. ARM cores
        without a name are told by their implementer and part numbers; of several kinds of core, all are
        named, and a feature counts only if every core has it.

    Example:
        >>> parse_cpuinfo("model name : Fast CPU\nflags : fpu avx2 avx512_vnni")
        ('Fast CPU', ('avx2', 'avx512_vnni'))
        >>> parse_cpuinfo("Features : fp asimd asimddp\nCPU implementer : 0x41\nCPU part : 0xd0b")
        ('CPU implementer 0x41 part 0xd0b', ('asimd', 'asimddp'))
    """
    lines = [
        (key.strip(), value.strip()) for key, _, value in (row.partition(":") for row in text.splitlines())
    ]
    feature_sets = [set(value.split()) for key, value in lines if key in {"flags", "Features"}]
    shared = set.intersection(*feature_sets) if feature_sets else set()
    names = [value for key, value in lines if key == "model name"]
    if not names:
        implementers = [value for key, value in lines if key == "CPU implementer"]
        parts = [value for key, value in lines if key == "CPU part"]
        names = [f"CPU implementer {i} part {p}" for i, p in zip(implementers, parts, strict=False)]
    return " + ".join(dict.fromkeys(names)), tuple(name for name in INTEGER_ISA if name in shared)


def _read_text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def usable_cores() -> int:
    """Return how many logical cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def memory_bytes() -> int:
    """Return the memory of this machine, or of the container that this process is confined to."""
    installed = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    limit = _read_text(Path("/sys/fs/cgroup/memory.max")).strip()
    return min(installed, int(limit)) if limit.isdecimal() else installed


def _installed_versions(packages: tuple[str, ...]) -> dict[str, str]:
    found = {}
    for package in packages:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found
