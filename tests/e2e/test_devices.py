"""One pipeline, several devices: the same engine here and on a board."""

import json

import pytest

from edgekd.errors import DeviceError


def _targets(*devices: object) -> str:
    return f"targets={json.dumps([{'kind': 'onnxruntime', 'device': device} for device in devices])}"


def test_a_board_gets_the_same_engine_and_finds_the_same(again, board, tmp_path, capsys) -> None:
    report = again(_targets("local", json.loads(board.device().model_dump_json())))
    here, there = report.targets
    assert (here.device, there.device) == ("local", "ssh board")
    assert f"ssh board: {report.machine.cpu}, " in capsys.readouterr().err
    assert here.machine is None
    assert there.machine == report.machine
    folder = tmp_path / "runs" / "tiny"
    assert (folder / here.model_path).read_bytes() == (folder / there.model_path).read_bytes()
    assert there.metric == here.metric
    assert (there.fidelity, there.agreement_top1) == (here.fidelity, here.agreement_top1)
    assert {baseline.name for baseline in there.baselines} == {"teacher_float", "student_float", "ptq"}
    assert 0 < there.latency_ms.p50 <= there.latency_ms.p99
    assert there.conditions.before
    assert there.native is None
    assert [stage.cached for stage in report.stages if stage.name == "build_engine"][1::2] == [True, True]
    board.assert_empty()


@pytest.mark.qemu
@pytest.mark.slow
def test_an_emulated_cpu_proves_bits_and_shows_no_time(again, qemu, tmp_path) -> None:
    report = again(_targets("emulated:x86_64"))
    (target,) = report.targets
    assert target.device == "emulated x86_64 Haswell"
    assert target.machine.isa == ("avx2",)
    assert (target.latency_ms, target.baselines, target.conditions) == (None, (), None)
    assert target.coverage.integer_time_share is None
    assert target.native.identical
    assert target.native.values > 10_000
    page = (tmp_path / "runs" / "tiny" / "report.html").read_text()
    assert "bit-identical with a native run" in page


def test_a_board_that_does_not_answer_is_told_before_the_work(again, board, capsys) -> None:
    device = board.device(config=board.config_with("Port 1"))
    with pytest.raises(DeviceError, match="refuses the connection"):
        again("seed=7", _targets(json.loads(device.model_dump_json())))
    assert "train" not in capsys.readouterr().err
