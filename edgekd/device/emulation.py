"""Python, numpy and ONNX Runtime for another kind of CPU, in a folder: Debian packages and wheels.

Nothing is installed and nobody has to be root. apt resolves and fetches the packages by a configuration of
its own, from the sources that this machine has; pip fetches the wheels.
"""

import os
import platform
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Sequence
from pathlib import Path

from edgekd.board.sessions import runtime_version
from edgekd.core.layout import user_cache
from edgekd.core.progress import progress
from edgekd.errors import DeviceError

DEBIAN_NAMES = {"aarch64": "arm64", "x86_64": "amd64"}
"""Architectures by the names that Debian has for them."""

PACKAGES = ("python3", "libstdc++6")
WHEELS = ("numpy", f"onnxruntime<={runtime_version()}")
"""The same ONNX Runtime as here, or the newest that this Python has."""

MARK = "prepared-by-edgekd"
"""A file that only such a folder holds."""

_PLATFORMS = ("manylinux_2_28", "manylinux_2_27", "manylinux_2_17", "manylinux2014")
_STEP_S = 600.0
_APT = """
APT::Architecture "{arch}";
APT::Architectures {{ "{arch}"; }};
APT::Install-Recommends "false";
APT::Sandbox::User "";
Acquire::Languages "none";
Dir::State "{folder}";
Dir::State::status "{folder}/status";
Dir::Cache "{folder}";
Dir::Log "{folder}";
"""


def emulation_folder(arch: str) -> Path:
    """Return where an architecture's files are kept: in ``$EDGEKD_EMULATION``, else in the user's cache."""
    root = os.environ.get("EDGEKD_EMULATION")
    return (Path(root).expanduser() if root else user_cache() / "edgekd-emulation") / arch


def prepared_folder(arch: str) -> Path:
    """Return the folder of an architecture.

    Raises:
        DeviceError: If it was not prepared.
    """
    folder = emulation_folder(arch)
    if not folder.is_dir():
        what = f"there is no Python for {arch} here"
        raise DeviceError(what, where=str(folder), fix=f"run edgekd emulate {arch}: about 60 MB, once")
    return folder


def prepare(arch: str, folder: Path) -> None:
    """Fetch what runs an architecture's ONNX Runtime here; the folder is there when it is complete.

    Args:
        arch: One of ``DEBIAN_NAMES``.
        folder: Where to; replaced if it was prepared before, or is empty.

    Raises:
        DeviceError: If a tool is missing, a package cannot be fetched, or the folder holds something else.
    """
    if folder.exists() and not (folder / MARK).is_file() and any(folder.iterdir()):
        what = "the folder holds something else, which would be lost"
        raise DeviceError(what, where=str(folder), fix="remove it by hand, or name another with --into")
    for tool in ("apt-get", "dpkg-deb"):
        if shutil.which(tool) is None:
            what = f"{tool} is not here: the packages come from Debian or Ubuntu"
            fix = f"run it on such a machine and copy the folder to {folder}"
            raise DeviceError(what, where=platform.platform(), fix=fix)
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f"{folder.name}.", dir=folder.parent) as scratch:
        system, fetched = Path(scratch) / "system", Path(scratch) / "fetched"
        with progress(f"emulate {arch}", 3) as advance:
            packages = _fetch_packages(fetched, DEBIAN_NAMES[arch])
            advance(step="packages fetched")
            _unpack_packages(packages, system)
            advance(step="packages unpacked")
            _add_wheels(fetched, system, arch)
            advance(step="wheels added")
        (system / MARK).touch()
        if folder.exists():
            folder.rename(Path(scratch) / "old")
        system.rename(folder)


def _fetch_packages(folder: Path, debian_arch: str) -> list[Path]:
    """Have apt fetch the packages with all that they need, as if nothing were installed."""
    (folder / "archives" / "partial").mkdir(parents=True)
    (folder / "lists" / "partial").mkdir(parents=True)
    (folder / "status").touch()
    configuration = folder / "apt.conf"
    configuration.write_text(_APT.format(arch=debian_arch, folder=folder))
    fix = (
        f"the sources of apt must have {debian_arch}: Debian's do; Ubuntu's is ports.ubuntu.com. "
        "Or prepare the folder on another machine and copy it"
    )
    for command in (["update"], ["install", "--yes", "--download-only", *PACKAGES]):
        _run(["apt-get", "-qq", *command], fix=fix, environment={"APT_CONFIG": str(configuration)})
    return sorted((folder / "archives").glob("*.deb"))


def _unpack_packages(packages: Sequence[Path], system: Path) -> None:
    for package in packages:
        _run(["dpkg-deb", "--extract", str(package), str(system)], fix="is the disk full?")
    if not (system / "lib").exists():  # where /lib is a link, no package owns it
        (system / "lib").symlink_to("usr/lib")


def _add_wheels(scratch: Path, system: Path, arch: str) -> None:
    version = (system / "usr" / "bin" / "python3").readlink().name.removeprefix("python")
    platforms = [text for name in _PLATFORMS for text in ("--platform", f"{name}_{arch}")]
    command = ["pip", "download", "--quiet", "--no-deps", "--only-binary=:all:", "--implementation", "cp"]
    into = ["--python-version", version, "--dest", str(scratch)]
    _run([sys.executable, "-m", *command, *into, *platforms, *WHEELS], fix="can pip install numpy here?")
    for wheel in scratch.glob("*.whl"):
        with zipfile.ZipFile(wheel) as archive:
            archive.extractall(system / "usr" / "lib" / "python3" / "dist-packages")


def _run(command: list[str], *, fix: str, environment: dict[str, str] | None = None) -> None:
    try:
        done = subprocess.run(
            command, env={**os.environ, **(environment or {})}, stdin=subprocess.DEVNULL, capture_output=True,
            text=True, errors="replace", timeout=_STEP_S, check=False,
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired) as e:
        what = f"{command[0]} did not come to an end: {e}"
        raise DeviceError(what, where="edgekd emulate", fix=fix) from e
    if done.returncode:
        what = f"{' '.join(command[:3])} failed: {' '.join(done.stderr.split())[-500:]}"
        raise DeviceError(what, where="edgekd emulate", fix=fix)
