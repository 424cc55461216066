import pytest

from edgekd.device.local import LocalConnection, LocalDevice
from edgekd.device.place import place_of
from edgekd.errors import DeviceError
from edgekd.runtimes.onnx_runtime_target import OnnxRuntimeTarget


def test_a_runtime_that_changes_during_a_run_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    target, here = OnnxRuntimeTarget(), LocalConnection()
    place = place_of(target, LocalDevice())
    assert (place.device.name, place.runtime_version) == ("local", here.host.runtime_version())
    assert str(place).startswith("local: ")
    assert str(place).endswith(f" cores, runtime {place.runtime_version}")
    place.check(target, here)
    monkeypatch.setattr(OnnxRuntimeTarget, "runtime_version", lambda self, host: "1.16.3")
    with pytest.raises(DeviceError, match=r"is 1\.16\.3 now") as caught:
        place.check(target, here)
    assert "run the command again" in caught.value.fix


def test_a_board_that_is_another_one_during_a_run_is_told() -> None:
    target, here = OnnxRuntimeTarget(), LocalConnection()
    place = place_of(target, LocalDevice())
    here.machine = here.machine.model_copy(update={"cpu": "Cortex-A72", "isa": ("asimd",)})
    with pytest.raises(DeviceError, match=r"is Cortex-A72 now"):
        place.check(target, here)
