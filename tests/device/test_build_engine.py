import pytest

from edgekd.device.build_engine import build_engine
from edgekd.device.local import LocalConnection, LocalDevice
from edgekd.device.place import place_of
from edgekd.device.ssh import SshDevice
from edgekd.errors import DeviceError
from edgekd.runtimes.here import HERE
from edgekd.runtimes.onnx_runtime_target import OnnxRuntimeTarget
from edgekd.runtimes.stages import MODEL, Engine, TargetOnnx
from edgekd.runtimes.tensorrt_coverage import layers_of_log
from edgekd.runtimes.tensorrt_target import TensorRtRtxTarget


def _built(target, model, tmp_path):
    lowered, folder = tmp_path / "lowered", tmp_path / "engine"
    lowered.mkdir()
    folder.mkdir()
    (lowered / MODEL).write_bytes(model.read_bytes())
    place = place_of(target, LocalDevice())
    build_engine.function(folder, target, TargetOnnx(lowered, "", ""), place)
    return Engine(folder, "", "")


def test_build_engine_writes_what_the_runtime_loads(residual, tmp_path):
    engine = _built(OnnxRuntimeTarget(), residual.model, tmp_path)
    assert engine.engine_path.name == "engine.onnx"
    assert engine.build_log == ""
    HERE.open(engine.engine_path).close()


def test_build_engine_keeps_what_a_builder_says_of_its_layers(onnx_model, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    (tmp_path / "m.onnx").write_bytes(
        onnx_model(
            "float[N,3] x", "float[N,2] y", "y = MatMul(x, w)", {"w": [[1.0, 2], [3, 4], [5, 6]]}
        ).SerializeToString()
    )
    engine = _built(TensorRtRtxTarget(), tmp_path / "m.onnx", tmp_path)
    assert engine.engine_path.name == "engine.plan"
    assert layers_of_log(engine.build_log)


def test_a_place_is_what_an_engine_depends_on():
    place = place_of(OnnxRuntimeTarget(), LocalDevice())
    assert place.digest != place.model_copy(update={"gpu": "NVIDIA L4"}).digest
    assert place.digest != place.model_copy(update={"runtime_version": "1.20"}).digest
    elsewhere = place.machine.model_copy(update={"os": "another"})
    assert place.digest == place.model_copy(update={"machine": elsewhere}).digest


def test_an_engine_that_a_board_has_built_is_for_that_board_alone():
    place = place_of(OnnxRuntimeTarget(), LocalDevice())
    boards = [place.model_copy(update={"device": SshDevice(host=name)}) for name in ("a", "b")]
    assert boards[0].digest == boards[1].digest == place.digest
    with_gpu = [found.model_copy(update={"gpu": "Orin"}).digest for found in (place, *boards)]
    assert len(set(with_gpu)) == 3


def test_another_gpu_than_before_is_told():
    target, here = OnnxRuntimeTarget(), LocalConnection()
    place = place_of(target, LocalDevice()).model_copy(update={"gpu": "NVIDIA L4"})
    with pytest.raises(DeviceError, match="its GPU was NVIDIA L4 when the run began, and is none now"):
        place.check(target, here)
