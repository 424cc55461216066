"""Other CPUs, emulated: the same bits as here."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from pydantic import ValidationError

from edgekd.device import emulation
from edgekd.device.emulated import CPUS, EmulatedDevice
from edgekd.errors import DeviceError
from edgekd.runtimes.onnx_runtime import HERE
from edgekd.runtimes.onnx_runtime_target import OnnxRuntimeTarget
from edgekd.runtimes.target import BuiltModel
from edgekd.verify.native import compare_with_native
from edgekd.verify.verify_engine import verify_graph


def _assert_same_bits(device: EmulatedDevice, exported) -> tuple[str, ...]:
    with device.connect() as connection:
        assert not connection.times
        there = BuiltModel(OnnxRuntimeTarget(), exported.model, connection.host)
        found = verify_graph(there, exported.inputs, marked=exported.marked)
        with pytest.raises(DeviceError, match="means nothing"):
            connection.measure({"engine": there}, {}, seed=0)
        with there.open() as session, HERE.open(exported.model) as here:
            logits, native = session.predict(exported.inputs), here.predict(exported.inputs)
    assert found.oracle == exported.faithfulness.oracle
    assert found.coverage.fallbacks == ()
    assert found.coverage.integer_time_share is None
    result = compare_with_native(found.codes, exported.faithfulness.codes, logits, native)
    assert (result.identical, result.first_difference) == (True, "")
    assert result.values > 1000
    return connection.machine.isa


@pytest.mark.emulation
@pytest.mark.parametrize(("cpu", "isa"), [("", ("asimd", "asimddp")), ("cortex-a72", ("asimd",))])
def test_an_arm_cpu_computes_the_same_bits(residual, cpu, isa) -> None:
    if not emulation.emulation_folder("aarch64").is_dir():
        pytest.skip("edgekd emulate aarch64 has not been run here")
    assert _assert_same_bits(EmulatedDevice(arch="aarch64", cpu=cpu), residual) == isa


@pytest.mark.qemu
def test_a_cpu_without_vnni_computes_the_same_bits(residual, qemu) -> None:
    assert _assert_same_bits(EmulatedDevice(arch="x86_64"), residual) == ("avx2",)


def test_a_difference_is_named_by_the_first_tensor_in_the_order_of_the_graph() -> None:
    here = {"first": np.arange(4), "second": np.arange(4), "third": np.arange(4)}
    there = {**here, "third": np.zeros(4), "second": np.ones(4)}
    logits = np.zeros((2, 2), np.float32)
    assert compare_with_native(there, here, logits, logits).first_difference == "second"
    assert compare_with_native(here, here, logits + 1, logits).first_difference == "logits"
    assert compare_with_native({}, here, logits, logits).first_difference == "first"
    assert compare_with_native(here, here, logits, logits).values == 16
    nothing = np.full_like(logits, np.nan)
    assert compare_with_native(here, here, nothing, nothing).identical


def test_what_is_not_prepared_says_the_command(monkeypatch, tmp_path) -> None:
    monkeypatch.setenv("EDGEKD_EMULATION", str(tmp_path))
    monkeypatch.setattr("edgekd.device.emulated.shutil.which", lambda name: "/bin/false")
    monkeypatch.setattr("edgekd.device.emulated.platform.machine", lambda: "riscv64")
    with pytest.raises(DeviceError) as caught, EmulatedDevice(arch="aarch64").connect():
        pass
    assert "run edgekd emulate aarch64" in caught.value.fix


def test_a_cpu_belongs_to_its_architecture() -> None:
    with pytest.raises(ValidationError, match="knows no cpu 'Haswell': one of neoverse-n1, cortex-a72"):
        EmulatedDevice(arch="aarch64", cpu="Haswell")
    names = {EmulatedDevice(arch=arch, cpu=cpu).name for arch, cpus in CPUS.items() for cpu in cpus}
    assert "emulated aarch64 cortex-a72" in names


@pytest.fixture
def failing_apt(monkeypatch, tmp_path) -> Iterator[None]:
    (tmp_path / "bin").mkdir()
    for tool in ("apt-get", "dpkg-deb"):
        path = tmp_path / "bin" / tool
        path.write_text("#!/bin/sh\necho E: Unable to locate package python3 >&2; exit 100\n")
        path.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}/bin:/usr/bin:/bin")
    yield


def test_what_cannot_be_fetched_leaves_nothing_half_done(failing_apt, tmp_path) -> None:
    folder = tmp_path / "emulation" / "aarch64"
    with pytest.raises(DeviceError, match="Unable to locate package") as caught:
        emulation.prepare("aarch64", folder)
    assert "sources of apt must have arm64" in caught.value.fix
    assert list(folder.parent.iterdir()) == []


def test_no_folder_of_somebody_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").touch()
    with pytest.raises(DeviceError, match="which would be lost"):
        emulation.prepare("aarch64", tmp_path)
    assert (tmp_path / "thesis.tex").exists()
