"""This machine's runner, and what `bench` makes up for it."""

import importlib.util
import re
import sys

import numpy as np
import onnx
import pytest

from edgekd.board.lock import FOLDER_VARIABLE, machine_lock
from edgekd.board.rounds import Design
from edgekd.device import runner
from edgekd.device.bench import made_up_feeds
from edgekd.device.devices import device_from_text
from edgekd.device.local import LocalDevice, local_runner
from edgekd.device.ssh import SshDevice
from edgekd.errors import BuildError, DataError, DeviceError, SpecError
from edgekd.runtimes.onnx_runtime_target import OnnxRuntimeTarget
from edgekd.runtimes.target import BuiltModel

HASTY = Design(sessions=2, rounds=3, round_ms=1, warmup_ms=1)


@pytest.fixture
def files(onnx_model, tmp_path):
    """Return a function that writes models, each of the text of its inputs, and returns their paths."""

    def write(**inputs: str):
        for name, text in inputs.items():
            first = text.split()[-1]
            model = onnx_model(text, "float y", f"f = Cast<to=1>({first}) y = ReduceSum<keepdims=0>(f)", {})
            onnx.save(model, tmp_path / f"{name}.onnx")
        return {name: tmp_path / f"{name}.onnx" for name in inputs}

    return write


def _measure(files, feeds, design=HASTY):
    built = {name: BuiltModel(OnnxRuntimeTarget(), path) for name, path in files.items()}
    with LocalDevice().connect() as device:
        return device.measure(built, feeds, seed=0, design=design)


def test_local_device_measures_models_that_take_different_inputs(files, monkeypatch, tmp_path, capsys):
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setenv(FOLDER_VARIABLE, str(tmp_path))  # a lock of its own
    models = files(pixels="uint8[1,8,8,3] image", floats="float[1,3,8,8] x")
    made_up = made_up_feeds(models, target=OnnxRuntimeTarget(), batch=1, seed=0)
    (note,) = made_up.differences
    assert "floats takes float32 1x3x8x8, not uint8 1x8x8x3" in note
    found = _measure(models, made_up.feeds)
    assert list(found.samples) == ["pixels", "floats"]
    for samples in found.samples.values():
        assert samples.times_ms.shape[:2] == (2, 3)
        assert len(samples.opened_ms) == 2
        assert samples.peak_bytes > 0
    assert found.after["at_s"] > found.before["at_s"]
    assert "measure pixels, floats: 6/6" in capsys.readouterr().err
    assert list(tmp_path.glob("edgekd-*/")) == []


def test_local_device_says_that_it_waits_and_for_what(files, monkeypatch, tmp_path, capsys):
    monkeypatch.setenv(FOLDER_VARIABLE, str(tmp_path))
    monkeypatch.setattr(runner, "WAIT_S", 0.5)
    models = files(a="float[1,4] x")
    with (
        machine_lock(wait_s=0),
        pytest.raises(DeviceError, match="another measurement of this machine goes on"),
    ):
        _measure(models, {"a": {"x": np.zeros((1, 4), np.float32)}})
    assert capsys.readouterr().err.count("is waited for") == 1


def test_local_device_passes_on_the_runtimes_own_words(files, monkeypatch, tmp_path):
    monkeypatch.setenv(FOLDER_VARIABLE, str(tmp_path))
    with pytest.raises(DeviceError, match=r"^a: .*INVALID_ARGUMENT"):
        _measure(files(a="float[1,4] x"), {"a": {"x": np.zeros((2, 7), np.float32)}})


@pytest.mark.skipif(importlib.util.find_spec("tensorrt") is not None, reason="TensorRT is installed")
def test_a_board_without_tensorrt_is_told_where_jetsons_have_it():
    with local_runner([sys.executable], device="board") as channel:
        host = runner.RunnerConnection(channel).host
        with pytest.raises(DeviceError, match="No module named 'tensorrt'") as caught:
            host.facts("tensorrt")
    assert "pip install numpy tensorrt; on a Jetson: apt-get install python3-libnvinfer" in caught.value.fix


def test_made_up_feeds_are_the_same_for_models_that_take_the_same(files):
    models = files(a="float[n,4] x", b="float[1,4] other")
    made_up = made_up_feeds(models, target=OnnxRuntimeTarget(), batch=1, seed=3)
    assert made_up.differences == ()
    np.testing.assert_array_equal(made_up.feeds["a"]["x"], made_up.feeds["b"]["other"])
    assert made_up.feeds["a"]["x"].shape == (1, 4)


def test_made_up_feeds_refuses_batches_of_different_sizes(files):
    models = files(a="float[n,4] x", b="float[8,4] x")
    with pytest.raises(DataError, match="a takes 1 samples at once, b takes 8"):
        made_up_feeds(models, target=OnnxRuntimeTarget(), batch=1, seed=0)
    assert made_up_feeds(models, target=OnnxRuntimeTarget(), batch=8, seed=0).differences == ()


def test_made_up_feeds_refuses_what_is_no_model(tmp_path):
    (tmp_path / "no.onnx").write_bytes(b"no model")
    with pytest.raises(BuildError, match="refuses the model"):
        made_up_feeds({"no": tmp_path / "no.onnx"}, target=OnnxRuntimeTarget(), batch=1, seed=0)


def test_device_from_text_knows_the_kinds():
    assert device_from_text("local") == LocalDevice()
    board = "{kind: ssh, host: board, python: venv/bin/python}"
    assert device_from_text(board) == SshDevice(host="board", python="venv/bin/python")


@pytest.mark.parametrize(
    ("text", "what", "fix"),
    [
        ("toaster:kitchen", "there is no such device", "one of: local, ssh, emulated"),
        ("ssh", "ssh needs host", "KIND:NAME"),
        ("{host: board}", "the key kind is missing", "{kind: KIND, key: value}"),
        ("{kind: ssh, host: board, pyton: python3.12}", "unknown key 'pyton'", "did you mean 'python'?"),
        ("{kind: ssh, host: board", "not valid YAML", "mend"),
    ],
)
def test_device_from_text_says_what_it_takes(text: str, what: str, fix: str):
    with pytest.raises(SpecError, match=re.escape(what)) as caught:
        device_from_text(text)
    assert caught.value.where.startswith("--device")
    assert fix in caught.value.fix
