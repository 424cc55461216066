"""What ssh, a board's shell and its Python say when something is wrong, and what to do about it."""

import re

_MEANINGS: tuple[tuple[str, str, str], ...] = (
    (
        r"REMOTE HOST IDENTIFICATION HAS CHANGED|host key .* has changed",
        "its host key is another one than before",
        "find out why; if the board was set up anew, ssh-keygen -R HOST, and connect once by hand",
    ),
    (
        r"Host key verification failed|No .* host key is known",
        "its host key is not known here",
        "connect once by hand, ssh HOST, and compare the key with the board's",
    ),
    (
        r"No space left on device|Disk quota exceeded|File too large",
        "its folder for temporary files is full",
        "make room there, or have its login set TMPDIR to another folder",
    ),
    (
        r"mkdir: |Read-only file system",
        "its folder for temporary files cannot be written",
        "have its login set TMPDIR to a folder that can",
    ),
    (
        r"^sh: .*: (Permission denied|Exec format error)",
        "its Python cannot be run",
        "set device.python to a command that starts Python there",
    ),
    (
        r"Permission denied|Too many authentication failures|no mutual signature",
        "it does not let this user in without a password",
        "give it a key, ssh-copy-id HOST, and have an agent hold yours: ssh-add",
    ),
    (
        r"Connection refused",
        "it refuses the connection",
        "is sshd running there, and is the port in ssh's configuration right?",
    ),
    (
        r"Could not resolve|Name or service not known",
        "its name is not known",
        "check host, or give it a HostName in ssh's configuration",
    ),
    (
        r"timed out|No route to host|Network is unreachable|Host is down",
        "it cannot be reached",
        "is it switched on, and in this network? ssh HOST has to work",
    ),
    (
        r"edgekd: Python [\d.]+ is too old",
        "its Python is too old",
        "set device.python to one of 3.8 or newer that has numpy and onnxruntime",
    ),
    (
        r"not found|No such file or directory.*$",
        "its Python is not found",
        "install python3 there, or set device.python to its path",
    ),
    (
        r"Broken pipe|closed by remote host|Connection reset|Connection to .* closed|not responding",
        "the connection was cut",
        "run the command again; finished stages are kept",
    ),
)
"""Looked for from top to bottom: a pattern, what it means, what to do."""

_KILLED = (137, -9)


def explain(said: str, code: int | None) -> tuple[str, str]:
    """Return what went wrong and how to mend it; two empty texts if that is not known.

    Args:
        said: The end of what stood on standard error.
        code: Exit code of ssh.

    Example:
        >>> explain("sh: 1: python3: not found", 127)
        ('its Python is not found: sh: 1: python3: not found', 'install python3 there, or set device.python \
to its path')
    """
    last = " ".join(said.split())[-500:]
    for pattern, meaning, fix in _MEANINGS:
        if re.search(pattern, said, re.MULTILINE):
            return f"{meaning}: {last}", fix
    if code in _KILLED:
        what = f"the runner was killed{f': {last}' if last else ''}"
        return what, "if its memory is short, free some: a model has to fit; then run the command again"
    return "", ""
