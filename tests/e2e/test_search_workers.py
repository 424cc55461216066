"""A search that several processes share through a real PostgreSQL."""

import getpass
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.e2e.test_search import FILE

TRIALS = 5
BINARIES = sorted(Path("/usr/lib/postgresql").glob("*/bin"))


@pytest.fixture
def database(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
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
    try:
        yield f"postgresql://edgekd@/postgres?host={folder}"
    finally:
        subprocess.run([*control, "-m", "immediate", "stop"], **quiet)
        shutil.rmtree(folder)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_of_a_killed_worker_only_the_trial_is_lost(database: str, tmp_path: Path) -> None:
    """Two workers; one is killed within a trial. The other finishes all of them, each once."""
    spec = {**FILE, "student": {**FILE["student"], "storage": "$STUDY", "trials": TRIALS, "checked": 0}}
    file = tmp_path / "shared.yaml"
    file.write_text(yaml.safe_dump(spec))
    store = tmp_path / "store"
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "STUDY": database}

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
    assert len({trial["number"] for trial in trained}) == TRIALS
    assert "edgekd@" not in said  # the address may hold a password


def test_a_database_that_does_not_answer_is_named_without_its_password(tmp_path: Path) -> None:
    url = "postgresql://me:secret@localhost:1/none"
    spec = {**FILE, "student": {**FILE["student"], "storage": "$STUDY"}}
    file = tmp_path / "shared.yaml"
    file.write_text(yaml.safe_dump(spec))
    environment = {**os.environ, "STUDY": url}
    command = [sys.executable, "-m", "edgekd", "search", str(file), "--worker", "--store", str(tmp_path)]
    done = subprocess.run(command, env=environment, stderr=subprocess.PIPE, text=True, check=False)
    assert done.returncode == 2
    assert "where: student.storage" in done.stderr
    assert "secret" not in done.stderr
