"""The verb ``bench``, on small models and for a short time: how well it measures is for benchmarks."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest

from edgekd.board.lock import FOLDER_VARIABLE, LOCK_NAME
from edgekd.device.latency import Speedup
from edgekd.report.bench import BenchReport


@pytest.fixture(autouse=True)
def _alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv(FOLDER_VARIABLE, str(tmp_path))  # a lock of its own
    monkeypatch.setenv("EDGEKD_PROGRESS", "off")
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def slow_model(onnx_model, tmp_path: Path) -> Path:
    """Take what ``float_model`` takes, and multiply it by a large matrix and back."""
    text = "h = MatMul(x, up) g = MatMul(h, w) y = MatMul(g, down)"
    sizes = {"up": (4, 1024), "w": (1024, 1024), "down": (1024, 3)}
    constants = {name: np.ones(size, np.float32) for name, size in sizes.items()}
    path = tmp_path / "slow.onnx"
    onnx.save(onnx_model("float[n,4] x", "float y", text, constants), path)
    return path


def test_bench_compares_models_and_keeps_every_time(cli, float_model, slow_model, tmp_path):
    done = cli("bench", "float.onnx", "--against", "slow.onnx", "--budget", 0)
    assert done.code == 0, done.err
    lines = done.out.splitlines()
    assert lines[0].split()[:3] == ["model", "p50", "ms"]
    assert "float.onnx is faster than slow.onnx: " in done.out
    assert "(99 % interval " in done.out
    assert "8 sessions, 8 of them the pilot" in done.out
    assert lines[-1] == "every time: runs/bench/float.json"
    kept = BenchReport.model_validate_json((tmp_path / "runs/bench/float.json").read_text())
    fast, slow = kept.models
    assert np.array(fast.times_ms).shape[:2] == np.array(slow.times_ms).shape[:2] == (8, 20)
    assert np.median(fast.times_ms) == pytest.approx(fast.p50, abs=1e-6)
    assert (fast.size_bytes, slow.size_bytes) == (float_model.stat().st_size, slow_model.stat().st_size)
    assert slow.peak_memory_bytes >= slow.size_bytes > 4 << 20
    assert kept.comparisons[0].speedup.verdict == "faster"
    assert not kept.inconclusive
    assert (tmp_path / LOCK_NAME).exists()


def test_bench_fails_for_want_of_a_verdict_where_one_is_required(cli, float_model, monkeypatch):
    nothing = Speedup(ratio=1.0, ci=(0.9, 1.1), verdict="inconclusive")
    monkeypatch.setattr("edgekd.report.bench.speedup", lambda *_, minimum_effect: nothing)
    done = cli("bench", "float.onnx", "--against", "float.onnx", "--budget", 0, "--require-verdict")
    assert done.code == 4, done.err
    assert "inconclusive: nothing can be said of float.onnx against float.onnx (2)" in done.out
    assert "the pilot took the whole budget" in done.out


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("none.onnx",), "no such file: none.onnx"),
        (("float.onnx", "--device", "toaster"), "--device 'toaster': there is no such device"),
        (("float.onnx", "--against", "hostile.onnx"), "hostile.onnx"),
        (("float.onnx", "--out", "float.onnx/x.json"), "Not a directory"),
    ],
    ids=["no file", "no device", "no model", "no place"],
)
def test_bench_says_what_is_to_mend(cli, float_model, tmp_path, words: tuple[str, ...], said: str):
    (tmp_path / "hostile.onnx").write_bytes(b"\x08\x0a" + bytes(range(256)))
    done = cli("bench", *words)
    assert done.code == 2, done.err
    assert said in done.err
    assert "Traceback" not in done.err
    assert not (tmp_path / "runs").exists()


def test_bench_imports_no_torch_and_prints_json_without_the_times(float_model, tmp_path):
    code = (
        "import sys; from edgekd.cli.main import main\n"
        "sys.argv = 'edgekd bench float.onnx --budget 0 --json --out deep/f.json'.split()\n"
        "try: main()\n"
        "except SystemExit as stop: assert not stop.code\n"
        "sys.exit(', '.join({'torch', 'sklearn', 'onnxscript'} & set(sys.modules)) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    printed = json.loads(done.stdout)
    assert "times_ms" not in printed["models"][0]
    assert (printed["device"], printed["comparisons"]) == ("local", [])
    assert "times_ms" in json.loads((tmp_path / "deep" / "f.json").read_text())["models"][0]
