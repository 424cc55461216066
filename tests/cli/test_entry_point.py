"""The installed command, in a process of its own."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import IO

import pytest

import edgekd

EDGEKD = Path(sys.executable).parent / "edgekd"
HEAVY = {
    "torch",
    "numpy",
    "onnx",
    "onnxruntime",
    "onnx_ir",
    "pyarrow",
    "PIL",
    "sklearn",
    "jinja2",
}


def _edgekd(*words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [EDGEKD, *words], capture_output=True, text=True, env={**os.environ, **environment}, check=False
    )


def test_version_is_that_of_the_package() -> None:
    done = _edgekd("--version")
    assert (done.returncode, done.stdout, done.stderr) == (0, f"{edgekd.__version__}\n", "")


@pytest.mark.parametrize("words", [["--help"], ["--version"], ["compress", "--help"], ["store", "where"]])
def test_light_verbs_import_nothing_heavy(words: list[str], tmp_path: Path) -> None:
    code = (
        "import sys; from edgekd.cli.main import main\n"
        f"sys.argv = ['edgekd', *{words}]\n"
        "try: main()\n"
        "except SystemExit as stop: assert not stop.code\n"
        f"sys.exit(', '.join({HEAVY} & set(sys.modules)) or 0)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("module", ["edgekd", "edgekd.cli.main"])
def test_module_is_the_command(module: str) -> None:
    words = [sys.executable, "-m", module, "--version"]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, f"{edgekd.__version__}\n"), done.stderr


def test_user_error_exits_2_without_traceback(tmp_path: Path) -> None:
    done = _edgekd("check", str(tmp_path / "none.yaml"))
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("SpecError: cannot read the pipeline file")
    assert "Traceback" not in done.stderr


def test_results_go_to_stdout_in_any_encoding(tmp_path: Path) -> None:
    done = _edgekd("list", "--json", PYTHONIOENCODING="ascii")
    assert (done.returncode, done.stderr) == (0, "")
    assert "distill" in json.loads(done.stdout)


def test_module_runs_where_no_home_is_set(tmp_path: Path) -> None:
    done = _edgekd("store", "where", XDG_CACHE_HOME=str(tmp_path), EDGEKD_STORE="")
    assert done.stdout == f"{tmp_path}/edgekd\n"


def _writes_to(output: IO[bytes]) -> subprocess.CompletedProcess[str]:
    with output:
        return subprocess.run(
            [EDGEKD, "schema", "spec"], stdout=output, stderr=subprocess.PIPE, text=True, check=False
        )


def test_closed_pipe_is_no_bug() -> None:
    read, write = os.pipe()
    os.close(read)
    done = _writes_to(os.fdopen(write, "wb"))
    assert (done.returncode, done.stderr) == (141, "")


def test_full_disk_behind_the_output_is_a_message() -> None:
    done = _writes_to(Path("/dev/full").open("wb"))  # noqa: SIM115  closed there
    assert done.returncode == 2
    assert done.stderr.startswith("StoreError: No space left on device\n  where: the output\n  fix:")
    assert "Traceback" not in done.stderr
