"""A board behind a real sshd: what it computes, and that nothing stays there whatever goes wrong."""

import os
import signal
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from pydantic import ValidationError

from edgekd.board.rounds import Design
from edgekd.device.ssh import SshDevice
from edgekd.errors import DeviceError
from edgekd.runtimes.here import HERE
from edgekd.runtimes.onnx_runtime_target import OnnxRuntimeTarget
from edgekd.runtimes.target import BuiltModel
from edgekd.verify.verify_engine import verify_graph

LONG = Design(sessions=200, rounds=20)


def _refused(device: SshDevice) -> DeviceError:
    begun = time.monotonic()
    with pytest.raises(DeviceError) as caught, device.connect():
        pytest.fail("it connected")
    assert time.monotonic() - begun < 30
    assert caught.value.where == "ssh board"
    assert caught.value.fix
    return caught.value


def _feeds(models, exported) -> dict:
    return {key: {exported.lowered.graph.input[0].name: exported.inputs[:1]} for key in models}


def test_a_board_computes_and_proves_what_this_machine_does(board, residual) -> None:
    with board.device().connect() as device:
        assert board.processes()
        assert device.machine.runtime_versions["onnxruntime"] == device.host.runtime_version()
        there = BuiltModel(OnnxRuntimeTarget(), residual.model, device.host)
        with there.open() as session, HERE.open(residual.model) as here:
            assert (session.inputs, session.outputs) == (here.inputs, here.outputs)
            np.testing.assert_array_equal(session.predict(residual.inputs), here.predict(residual.inputs))
        found = verify_graph(there, residual.inputs, marked=residual.marked)
        assert found.oracle == residual.faithfulness.oracle
        assert found.layers == residual.faithfulness.layers
        assert found.coverage.integer_time_share > 0
        models = {"engine": there, "again": there}
        measured = device.measure(models, _feeds(models, residual), seed=0, design=Design(2, 2, 1.0, 1.0))
        assert {name: sample.times_ms.shape[:2] for name, sample in measured.samples.items()} == {
            "engine": (2, 2),
            "again": (2, 2),
        }
    board.assert_empty()


@pytest.mark.parametrize("host", ["-oProxyCommand=x", "a b", "a\n", "a;b", "board:22", "$(id)", "", "a@-b"])
def test_a_host_is_a_name(host) -> None:
    with pytest.raises(ValidationError, match="ports and options"):
        SshDevice(host=host)


@pytest.mark.parametrize("host", ["jetson.local", "pi@10.0.0.7", "fe80:0:0:0:0:0:0:1", "::1"])
def test_names_and_addresses_are_hosts(host) -> None:
    assert SshDevice(host=host).name == f"ssh {host}"


def test_a_python_of_any_name_is_quoted(board) -> None:
    name = board.script("a 'python' $(touch hacked)", f'exec {sys.executable} "$@"')
    with board.device(python=name).connect() as device:
        assert device.machine.cores > 0
    board.assert_empty()


def test_an_unknown_or_changed_host_key_is_refused(board, make_key, tmp_path) -> None:
    nothing = board.config_with("UserKnownHostsFile /dev/null")
    assert "is not known here" in _refused(board.device(config=nothing)).what
    address = (board.folder / "known_hosts").read_text().split()[0]
    (tmp_path / "known").write_text(f"{address} {make_key(tmp_path / 'other')}")
    changed = board.config_with(f"UserKnownHostsFile {tmp_path}/known")
    assert "another one than before" in _refused(board.device(config=changed)).what


def test_a_key_that_is_not_authorized_is_refused(board, make_key, tmp_path) -> None:
    make_key(tmp_path / "stranger")
    config = tmp_path / "config"
    config.write_text(board.config.read_text().replace(f"{board.folder}/user", f"{tmp_path}/stranger"))
    assert "without a password" in _refused(board.device(config=config)).what


def test_what_does_not_listen_or_is_not_known_is_told(board) -> None:
    assert "refuses the connection" in _refused(board.device(config=board.config_with("Port 1"))).what
    unknown = board.config_with("HostName no-such-board.invalid")
    assert "name is not known" in _refused(board.device(config=unknown)).what


def test_a_python_that_lacks_something_is_told(board, tmp_path) -> None:
    assert "Python is not found" in _refused(board.device(python="no-such-python")).what
    old = "import sys; sys.version_info = (3, 6); exec(sys.argv.pop(1))"
    script = board.script("old", f'{sys.executable} -c "{old}" "$2" "$3"')
    assert "too old" in _refused(board.device(python=script)).what
    (tmp_path / "bare").symlink_to(Path(sys.executable).resolve())
    with board.device(python=str(tmp_path / "bare")).connect() as device:
        with pytest.raises(DeviceError, match="No module named") as caught:
            device.host.facts()
        assert "pip install numpy onnxruntime" in caught.value.fix
    board.assert_empty()


def test_a_full_disk_is_told_with_the_size(board, tmp_path) -> None:
    limited = board.script("limited", f'ulimit -f 400; exec {sys.executable} "$@"')
    (tmp_path / "large.onnx").write_bytes(bytes(10**6))
    with board.device(python=limited).connect() as device:
        with pytest.raises(DeviceError, match=r"no room for a model of 1\.0 MB") as caught:
            device.host.put((tmp_path / "large.onnx").read_bytes())
        assert "TMPDIR" in caught.value.fix
    board.assert_empty()


def test_a_killed_runner_is_told(board, residual) -> None:
    with (
        pytest.raises(DeviceError, match="was killed"),
        board.device().connect() as device,
        device.host.open(residual.model) as session,
    ):
        os.kill(board.runner(), signal.SIGKILL)
        session.predict(residual.inputs)
    board.assert_empty()


def test_a_runner_that_hangs_is_given_up_and_swept_away(board, residual) -> None:
    with (
        pytest.raises(DeviceError, match="nothing was heard for 3 s"),
        board.device(silence_s=3).connect() as device,
        device.host.open(residual.model) as session,
    ):
        os.kill(board.runner(), signal.SIGSTOP)
        session.predict(residual.inputs)
    board.assert_empty()


def test_a_runner_that_takes_no_input_is_given_up(board) -> None:
    with (
        pytest.raises(DeviceError, match="took no input for 3 s"),
        board.device(silence_s=3).connect() as device,
    ):
        os.kill(board.runner(), signal.SIGSTOP)
        device.host.put(bytes(10**8))
    board.assert_empty()


def test_a_connection_that_is_cut_ends_a_measurement(board, residual) -> None:
    with pytest.raises(DeviceError, match="connection"), board.device().connect() as device:
        model = BuiltModel(OnnxRuntimeTarget(), residual.model, device.host)
        cut = threading.Timer(3, board.cut)
        cut.start()
        models = {"engine": model, "again": model}
        device.measure(models, _feeds(models, residual), seed=0, design=LONG)
    board.assert_empty()


def test_a_killed_runner_takes_its_measurement_with_it(board, residual) -> None:
    with pytest.raises(DeviceError, match="was killed"), board.device().connect() as device:
        model = BuiltModel(OnnxRuntimeTarget(), residual.model, device.host)
        kill = threading.Timer(3, lambda: os.kill(board.runner(), signal.SIGKILL))
        kill.start()
        models = {"engine": model, "again": model}
        device.measure(models, _feeds(models, residual), seed=0, design=LONG)
    board.assert_empty()
