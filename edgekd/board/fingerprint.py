"""What this machine is, which never changes by itself, and in which state it is, which does."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
import time
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

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
    "lightning-fabric",
    "numpy",
    "onnx",
    "onnxruntime",
    "onnxruntime-gpu",
    "openvino",
    "tensorrt",
    "torch",
)
"""Packages whose version can change a result."""

_CPUS = Path("/sys/devices/system/cpu")


def identity(packages: tuple[str, ...] = RUNTIME_PACKAGES) -> dict[str, Any]:
    """Return what a result depends on: CPU, its features, cores, system, Python, runtimes.

    Imports none of the packages whose version it tells.
    """
    cpu, isa = parse_cpuinfo(read_text("/proc/cpuinfo"))
    board = read_text("/proc/device-tree/model").strip("\0\n ")
    versions = _installed_versions(packages)
    release = read_text("/etc/nv_tegra_release").partition(",")
    if release[0]:  # "# R36 (release), REVISION: 4.3, GCID: ..."
        versions["l4t"] = " ".join([*release[0].split()[1:2], *release[2].split(",")[0].split()[1:]])
    return {
        "cpu": " / ".join(filter(None, (board, cpu))) or platform.processor() or platform.machine(),
        "cores": usable_cores(),
        "isa": list(isa),
        "os": f"{platform.system()} {platform.release()} {platform.machine()}",
        "python": platform.python_version(),
        "runtime_versions": versions,
    }


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
        names = [f"CPU implementer {i} part {p}" for i, p in zip(implementers, parts)]
    return " + ".join(dict.fromkeys(names)), tuple(name for name in INTEGER_ISA if name in shared)


def usable_cores() -> int:
    """Return how many logical cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def read_text(path: str) -> str:
    """Return a file's text; empty where it cannot be read."""
    try:
        return Path(path).read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def conditions() -> dict[str, Any]:
    """Return the state of the machine now: clocks, temperatures, power mode, load.

    Returns:
        ``at_s`` (a clock that only runs forward), ``governors`` and ``mhz`` (now, least and most allowed)
        over the cores, ``throttled`` (how often the cores and this container were slowed, since they were
        started), ``celsius`` by thermal zone, ``power_mode``, ``busy_s`` and ``stolen_s`` (seconds of CPU
        time since the system started; ``busy_s`` those of all processes), ``used_s`` (those of this process
        and of the children it has waited for). Where the system says nothing, a key is missing.
    """
    found: dict[str, Any] = {"at_s": time.monotonic(), **_clocks(), **_cpu_seconds()}
    found["throttled"] = _throttled()
    zones = sorted(Path("/sys/class/thermal").glob("thermal_zone*"))
    degrees = {read_text(f"{zone}/type").strip(): read_text(f"{zone}/temp").strip() for zone in zones}
    found["celsius"] = {kind: int(text) / 1000 for kind, text in degrees.items() if _is_integer(text)}
    mode = _power_mode()
    return {**found, "power_mode": mode} if mode else found


def _clocks() -> dict[str, Any]:
    folders = sorted(_CPUS.glob("cpu[0-9]*/cpufreq"))
    governors = {read_text(f"{folder}/scaling_governor").strip() for folder in folders} - {""}
    mhz = {}
    for name, key, pick in (("now", "scaling_cur_freq", min), ("least", "scaling_min_freq", min),
                            ("most", "scaling_max_freq", max)):  # fmt: skip
        texts = [read_text(f"{folder}/{key}").strip() for folder in folders]
        values = [int(text) // 1000 for text in texts if _is_integer(text)]
        if values:
            mhz[name] = pick(values)
    return {"governors": sorted(governors), "mhz": mhz}


def _throttled() -> int:
    counts = [read_text(str(path)).strip() for path in _CPUS.glob("cpu[0-9]*/thermal_throttle/*_count")]
    container = dict(line.split() for line in read_text("/sys/fs/cgroup/cpu.stat").splitlines() if line)
    return sum(int(text) for text in [*counts, container.get("nr_throttled", "0")] if _is_integer(text))


def _cpu_seconds() -> dict[str, float]:
    fields = read_text("/proc/stat").partition("\n")[0].split()[1:]
    own = os.times()
    found = {"used_s": own.user + own.system + own.children_user + own.children_system}
    if len(fields) >= 8:
        user, nice, system, _, _, irq, softirq, steal = (
            int(field) / os.sysconf("SC_CLK_TCK") for field in fields[:8]
        )
        found.update(busy_s=user + nice + system + irq + softirq, stolen_s=steal)
    return found


def _power_mode() -> str:
    """Return the power mode of a Jetson, such as MAXN; empty elsewhere."""
    tool = shutil.which("nvpmodel")
    if tool is None:
        return ""
    try:
        said = subprocess.run([tool, "-q"], capture_output=True, text=True, timeout=10, check=False).stdout
    except (OSError, subprocess.SubprocessError):
        return ""
    return next((line.partition(":")[2].strip() for line in said.splitlines() if "Power Mode" in line), "")


def _is_integer(text: str) -> bool:
    return text.lstrip("-").isdigit()


def _installed_versions(packages: tuple[str, ...]) -> dict[str, str]:
    found = {}
    for package in packages:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def quiet_cores(threads: int) -> list[int]:
    """Return as many of the fastest cores as there are threads, the least busy of them; empty if unknown."""
    if not hasattr(os, "sched_getaffinity") or sys.platform != "linux":
        return []
    allowed = sorted(os.sched_getaffinity(0))
    if len(allowed) <= threads:
        return []
    speed = {core: read_text(f"{_CPUS}/cpu{core}/cpu_capacity").strip() or "0" for core in allowed}
    busy = _busy_by_core(0.2)
    return sorted(allowed, key=lambda core: (-int(speed[core]), busy.get(core, 0), core))[:threads]


def _busy_by_core(seconds: float) -> dict[int, int]:
    def ticks() -> dict[int, int]:
        rows = (line.split() for line in read_text("/proc/stat").splitlines() if line.startswith("cpu"))
        return {int(row[0][3:]): sum(map(int, row[1:4])) for row in rows if row[0] != "cpu"}

    before = ticks()
    time.sleep(seconds)
    return {core: now - before.get(core, 0) for core, now in ticks().items()}
