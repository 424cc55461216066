"""The process around the verbs: signals, closed pipes, one message and exit code for whatever goes wrong."""

import errno
import os
import sys
import traceback
from io import TextIOWrapper

from rich.console import Console

from edgekd.cli.exit_codes import BUG, CLOSED_PIPE, OK, STOPPED, USER_ERROR
from edgekd.cli.interrupts import Interrupted, Interrupts
from edgekd.cli.verbs import app
from edgekd.cli.workflow_log import commands_taken_apart
from edgekd.core.text import printable, without_password
from edgekd.errors import DataError, EdgeKdError, RuntimeMissing, StoreError


def main() -> None:
    """Run the command line; the exit code says what happened, see `exit_codes`."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="replace")  # a sign that a terminal cannot show is no reason to fail
    with commands_taken_apart():
        code = _flushed()
    sys.exit(code)


def _flushed() -> int:
    try:
        code = _run()
        if sys.stdout is not None:
            sys.stdout.flush()
    except OSError as e:  # whoever reads the output is gone, or its disk is full
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # for what is still to be flushed
        return CLOSED_PIPE if isinstance(e, BrokenPipeError) else _complain(_of_the_system(e))
    return code


def _run() -> int:
    try:
        with Interrupts():
            app()
    except SystemExit as stop:
        return CLOSED_PIPE if stop.code == 1 else int(stop.code or 0)  # typer's own word for it is 1
    except EdgeKdError as e:
        return _complain(e)
    except ModuleNotFoundError as e:
        if e.name not in ("torch", "lightning_fabric", "onnxscript"):
            traceback.print_exc()
            return BUG
        what = f"{e.name} is not installed"
        return _complain(RuntimeMissing(what, fix="pip install 'edgekd[train]'"))
    except Interrupted as stop:
        Console(stderr=True).print(
            "Interrupted. Finished stages, epochs and trials are kept; run the command again to go on."
        )
        return STOPPED + stop.number
    except OSError as e:
        if e.errno not in _OF_THE_SYSTEM:
            traceback.print_exc()
            return BUG
        return _complain(_of_the_system(e))
    except MemoryError:
        fix = "give smaller data or a smaller network, or a machine with more memory"
        return _complain(DataError("there is not enough memory", fix=fix))
    except Exception:
        traceback.print_exc()
        return BUG
    return OK


_OF_THE_SYSTEM = {
    errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM, errno.EIO, errno.ENAMETOOLONG,
    errno.ENOTDIR, errno.EISDIR, errno.ELOOP, errno.EMFILE, errno.ENFILE, errno.ENOMEM,
}  # fmt: skip
"""What a disk, its permissions or the machine's limits refuse: no mistake of edgekd's."""


def _of_the_system(error: OSError) -> EdgeKdError:
    where = str(error.filename or "the output")
    return StoreError(f"{error.strerror}", where=where, fix="make room there, or name another place")


def _complain(error: EdgeKdError) -> int:
    console = Console(stderr=True, highlight=False)
    for line in f"{type(error).__name__}: {error}".splitlines():
        console.print(printable(without_password(line)), markup=False, soft_wrap=True)
    return USER_ERROR


if __name__ == "__main__":
    main()
