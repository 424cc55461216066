"""A search that several processes share through a real PostgreSQL."""

import getpass
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import yaml

from tests.e2e.test_search import FILE

TRIALS = 5
BINARIES = sorted(Path("/usr/lib/postgresql").glob("*/bin"))


class Database(NamedTuple):
    """A running server.

    Attributes:
        url: Its address.
        stop: Ends it at once, as a crash does.
    """

    url: str
    stop: Callable[[], None]


@pytest.fixture
def database() -> Iterator[Database]:
    """A server of its own that listens on a socket in a folder, as the user that its package makes."""
    if not BINARIES:
        pytest.skip("PostgreSQL is not installed")
    folder = Path("/tmp") / f"edgekd-postgres-{os.getpid()}"
    root = os.geteuid() == 0
    user = "postgres" if root else getpass.getuser()
    become = ["runuser", "-u", user, "--"] if root else []
    folder.mkdir(mode=0o700)
    if root:
        shutil.chown(folder, user)
    data, tools = folder / "data", BINARIES[-1]
    quiet: dict[str, Any] = {"check": True, "stdout": subprocess.DEVNULL, "cwd": "/"}
    subprocess.run([*become, tools / "initdb", "-D", data, "-A", "trust", "-U", "edgekd"], **quiet)
    settings = f"-c listen_addresses= -c unix_socket_directories={folder}"
    control = [*become, tools / "pg_ctl", "-D", data, "-l", folder / "log", "-w"]
    subprocess.run([*control, "-o", settings, "start"], **quiet)

    def stop() -> None:
        if (data / "postmaster.pid").exists():
            subprocess.run([*control, "-m", "immediate", "stop"], **quiet)

    try:
        yield Database(f"postgresql://edgekd@/postgres?host={folder}", stop)
    finally:
        stop()
        shutil.rmtree(folder)


def shared_file(folder: Path) -> Path:
    """Write the pipeline file of a search whose study is in ``$STUDY``."""
    spec = {**FILE, "student": {**FILE["student"], "storage": "$STUDY", "trials": TRIALS, "checked": 0}}
    file = folder / "shared.yaml"
    file.write_text(yaml.safe_dump(spec))
    return file


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_of_a_killed_worker_only_the_trial_is_lost(database: Database, tmp_path: Path) -> None:
    """Two workers; one is killed within a trial. The other finishes all of them, each once."""
    file, store = shared_file(tmp_path), tmp_path / "store"
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "STUDY": database.url}

    def start(*more: str) -> "subprocess.Popen[str]":
        command = [sys.executable, "-m", "edgekd", "search", str(file), "--store", str(store), *more]
        pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        return subprocess.Popen(command, env=environment, **pipes)

    with start("--worker") as killed, start("--json") as leading:
        assert killed.stderr is not None
        for line in killed.stderr:
            if line.startswith("search "):
                time.sleep(0.5)  # into its next trial
                killed.send_signal(signal.SIGKILL)
        written, said = leading.communicate()
    assert leading.returncode == 0, said
    record = json.loads(written)
    trained = [trial for trial in record["trials"] if trial["metric"] is not None]
    assert len(trained) == TRIALS
    assert len({json.dumps(trial["setting"], sort_keys=True) for trial in trained}) == TRIALS
    assert "edgekd@" not in said  # the address may hold a password


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_database_that_stops_ends_a_worker_with_what_to_do(database: Database, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "edgekd", "search", str(shared_file(tmp_path)), "--worker"]
    environment = {**os.environ, "STUDY": database.url}
    pipes: dict[str, Any] = {"stderr": subprocess.PIPE, "text": True, "env": environment}
    said = ""
    with subprocess.Popen([*command, "--store", str(tmp_path / "store")], **pipes) as worker:
        assert worker.stderr is not None
        for line in worker.stderr:
            said += line
            if line.startswith("search "):
                database.stop()
    assert worker.returncode == 2, said
    assert "no longer answers" in said
    assert "finished trials are kept" in said
    assert "Traceback" not in said


def test_a_database_that_does_not_answer_is_named_without_its_password(tmp_path: Path) -> None:
    url = "postgresql://me:secret@localhost:1/none"
    environment = {**os.environ, "STUDY": url}
    command = [sys.executable, "-m", "edgekd", "search", str(shared_file(tmp_path)), "--worker"]
    command += ["--store", str(tmp_path)]
    done = subprocess.run(command, env=environment, stderr=subprocess.PIPE, text=True, check=False)
    assert done.returncode == 2
    assert "where: student.storage" in done.stderr
    assert "secret" not in done.stderr
    assert "on localhost:1 does not answer" in done.stderr
