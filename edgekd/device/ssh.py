"""The device ``ssh``: a board that the user's own OpenSSH client reaches.

Configuration, agent, known hosts and jump hosts are those of ``ssh HOST`` on a terminal. edgekd asks for no
password and trusts no new key. It needs a shell, Python 3.8, numpy and onnxruntime there, and leaves nothing.
"""

import re
import secrets
import shlex
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Literal

from pydantic import Field, field_validator

from edgekd.device.archive import runner_archive
from edgekd.device.channel import LONGEST_SILENCE_S, Channel
from edgekd.device.device import Connection, DeviceSpec
from edgekd.device.runner import RunnerConnection
from edgekd.device.ssh_words import explain

SSH = (
    "ssh", "-T", "-o", "BatchMode=yes", "-o", "StrictHostKeyChecking=yes", "-o", "ConnectTimeout=15",
    "-o", "ServerAliveInterval=5", "-o", "ServerAliveCountMax=3", "-o", "ClearAllForwardings=yes",
    "-o", "ForwardAgent=no", "-o", "ForwardX11=no", "-o", "PermitLocalCommand=no",
)  # fmt: skip
"""Asks nothing, forwards nothing, and notices within 20 s that the board is gone."""

SWEEP_S = 30.0
"""Longest time that tidying up a board after a failure may take."""

REFUSED = 255
"""Exit code of ssh when it could not do its part."""

_NAME, _IPV6 = r"[A-Za-z0-9._][A-Za-z0-9._-]*", r"[0-9A-Fa-f]*(:[0-9A-Fa-f]*){2,7}"
_HOST = re.compile(f"({_NAME}@)?({_NAME}|{_IPV6})")
_LENGTH_DIGITS = 12

_BOOT = f"""
import os, sys
if sys.version_info < (3, 8):
    sys.exit("edgekd: Python %d.%d is too old" % sys.version_info[:2])
def take(size):
    parts = []
    while size:
        part = os.read(0, min(size, 65536))
        if not part:
            sys.exit(1)
        parts.append(part)
        size -= len(part)
    return b"".join(parts)
path = sys.argv[1] + "/runner.pyz"
try:
    with open(path, "wb") as file:
        file.write(take(int(take({_LENGTH_DIGITS}))))
except OSError as error:
    sys.exit("edgekd: %s" % error)
os.execv(sys.executable, [sys.executable, path, "serve", sys.argv[1]])
"""

_SERVE = (
    'umask 077; d=${TMPDIR:-/tmp}/edgekd.%s; mkdir "$d" || exit 1; '
    "trap 'rm -rf \"$d\"' EXIT; trap 'exit 1' HUP INT TERM; %s -c %s \"$d\""
)

_SWEEP = (
    "d=${TMPDIR:-/tmp}/edgekd.%s; for f in /proc/[0-9]*/cmdline; do "
    'if grep -qsF "$d" "$f"; then p=${f#/proc/}; kill -KILL "${p%%/cmdline}"; fi; done; rm -rf "$d"'
)
"""Ends what has the folder on its command line, which is the runner and what it started, and removes it."""


class SshDevice(DeviceSpec):
    """A board that ``ssh HOST`` reaches, with Python, numpy and onnxruntime.

    Attributes:
        host: As on the command line of ssh: a name of its configuration, or user@name.
        python: Python there: a command, or a path, which begins in the home folder unless with a slash.
        config: Another configuration file for ssh; the user's own if empty.
        silence_s: Seconds without a word from the board after which it is given up.
    """

    kind: Literal["ssh"] = "ssh"
    text_field = "host"

    host: str
    python: str = Field(default="python3", pattern=r"^[^\x00-\x1f\x7f~-][^\x00-\x1f\x7f]*$")
    config: Path | None = None
    silence_s: float = Field(default=LONGEST_SILENCE_S, ge=1, le=86400)

    @field_validator("host")
    @classmethod
    def _a_name(cls, host: str) -> str:
        if _HOST.fullmatch(host) is None:
            msg = f"{host!r} is no name or user@name: ports and options belong into ssh's configuration"
            raise ValueError(msg)
        return host

    @property
    def name(self) -> str:
        """``ssh`` and the host."""
        return f"{self.kind} {self.host}"

    @contextmanager
    def connect(self) -> Iterator[Connection]:
        """Start a runner there; it and its folder are gone when the context ends, whatever happened."""
        token, archive = secrets.token_hex(16), runner_archive()
        script = _SERVE % (token, shlex.quote(self.python), shlex.quote(f"exec({_BOOT!r})"))
        channel = Channel(
            self._command(script),
            device=self.name,
            first=f"{len(archive):0{_LENGTH_DIGITS}}".encode() + archive,
            silence_s=self.silence_s,
            explain=explain,
        )
        try:
            with channel:
                yield RunnerConnection(channel)
        finally:
            if channel.lost and (channel.answered or channel.exit_code != REFUSED):
                self._sweep(token)

    def _sweep(self, token: str) -> None:
        """Remove what a runner that was lost may have left; a board that is gone keeps it."""
        with suppress(OSError, subprocess.SubprocessError):
            subprocess.run(
                self._command(_SWEEP % token), stdin=subprocess.DEVNULL, capture_output=True, timeout=SWEEP_S,
                check=False,
            )  # fmt: skip

    def _command(self, script: str) -> list[str]:
        """Return what has a POSIX shell run a script there, whatever shell the login has."""
        config = ["-F", str(self.config)] if self.config else []
        return [*SSH, *config, "--", self.host, f"exec sh -c {shlex.quote(script)}"]
