"""A board on this machine: its own sshd with its own keys, port and folder for temporary files."""

import getpass
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from edgekd.board.lock import LOCK_NAME
from edgekd.device.ssh import SshDevice

SSHD = "/usr/sbin/sshd"


@dataclass(frozen=True)
class Board:
    """What ssh reaches by the name ``board``."""

    folder: Path
    config: Path

    @property
    def temporary(self) -> Path:
        return self.folder / "tmp"

    def device(self, **options: object) -> SshDevice:
        return SshDevice(**{"host": "board", "python": sys.executable, "config": self.config, **options})

    def config_with(self, *lines: str) -> Path:
        """Return a copy of ssh's configuration in which these lines come first."""
        path = self.folder / f"config{abs(hash(lines))}"
        path.write_text("\n".join([*lines, self.config.read_text()]))
        return path

    def script(self, name: str, text: str) -> str:
        """Return an executable on the board, which stands in for its Python."""
        path = self.folder / name
        path.write_text(f"#!/bin/sh\n{text}\n")
        path.chmod(0o755)
        return str(path)

    def processes(self) -> list[int]:
        """Return what runs with a folder of a runner on its command line."""
        return [pid for pid, line in _command_lines() if f"{self.temporary}/edgekd." in line]

    def assert_empty(self) -> None:
        """Nothing of a runner is there, at the latest after a moment."""
        end = time.monotonic() + 10
        while (left := [*self.processes(), *self._files()]) and time.monotonic() < end:
            time.sleep(0.05)
        assert left == []

    def _files(self) -> list[Path]:
        """Return what is there but for the lock, which all measurements of a machine share."""
        return [path for path in self.temporary.iterdir() if path.name != LOCK_NAME]

    def runner(self) -> int:
        (pid,) = (pid for pid, line in _command_lines() if f"serve\0{self.temporary}/edgekd." in line)
        return pid

    def cut(self) -> None:
        """End the connection on the board's side, as a crash of its sshd would."""
        shell = _parent(self.runner())
        os.kill(_parent(shell), signal.SIGKILL)


def _command_lines() -> Iterator[tuple[int, str]]:
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            yield int(path.parent.name), path.read_text(errors="replace")
        except OSError:
            continue


def _parent(pid: int) -> int:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return int(fields[1])


def _key(path: Path) -> str:
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(path)], check=True)
    return path.with_suffix(".pub").read_text()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _wait_for(port: int, server: "subprocess.Popen[bytes]") -> None:
    for _ in range(200):
        with socket.socket() as client:
            if client.connect_ex(("127.0.0.1", port)) == 0:
                return
        assert server.poll() is None, "sshd ended"
        time.sleep(0.05)
    pytest.fail("sshd does not listen")


@pytest.fixture(scope="session")
def board(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Board]:
    if not Path(SSHD).exists() or shutil.which("ssh") is None:
        pytest.skip("there is no sshd here (Debian package openssh-server)")
    folder = tmp_path_factory.mktemp("board")
    (folder / "tmp").mkdir()
    host_key, user_key, port = _key(folder / "host"), _key(folder / "user"), _free_port()
    (folder / "authorized_keys").write_text(user_key)
    (folder / "known_hosts").write_text(f"[127.0.0.1]:{port} {host_key}")
    (folder / "sshd_config").write_text(
        f"Port {port}\nListenAddress 127.0.0.1\nHostKey {folder}/host\nPidFile none\nUsePAM no\n"
        f"StrictModes no\nAuthorizedKeysFile {folder}/authorized_keys\nPasswordAuthentication no\n"
        f"KbdInteractiveAuthentication no\nSetEnv TMPDIR={folder}/tmp OMP_NUM_THREADS=1\n"
    )
    config = folder / "config"
    config.write_text(
        f"Host board\n  HostName 127.0.0.1\n  Port {port}\n  User {getpass.getuser()}\n"
        f"  IdentityFile {folder}/user\n  IdentitiesOnly yes\n  IdentityAgent none\n"
        f"  UserKnownHostsFile {folder}/known_hosts\n  GlobalKnownHostsFile /dev/null\n"
    )
    if os.getuid() == 0:
        Path("/run/sshd").mkdir(exist_ok=True)  # sshd of root demands it
    with (folder / "log").open("w") as log:
        server = subprocess.Popen([SSHD, "-D", "-e", "-f", str(folder / "sshd_config")], stderr=log)
    try:
        _wait_for(port, server)
        yield Board(folder, config)
    finally:
        server.terminate()
        server.wait()


@pytest.fixture
def make_key() -> Callable[[Path], str]:
    """Return a function that writes a key pair and returns its public half."""
    return _key
