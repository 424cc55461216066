"""Other CPUs, emulated: the same bits as here."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx
import pytest
from pydantic import ValidationError

from edgekd.device import emulation
from edgekd.device.emulated import CPUS, EmulatedDevice
from edgekd.errors import DeviceError
from edgekd.runtimes.here import HERE
from edgekd.runtimes.onnx_runtime_target import OnnxRuntimeTarget
from edgekd.runtimes.target import BuiltModel
from edgekd.verify.native import compare_with_native
from edgekd.verify.oracle import check_against_oracle
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


def _need_aarch64() -> None:
    if not emulation.emulation_folder("aarch64").is_dir():
        pytest.skip("edgekd emulate aarch64 has not been run here")


@pytest.mark.emulation
@pytest.mark.parametrize(("cpu", "isa"), [("", ("asimd", "asimddp")), ("cortex-a72", ("asimd",))])
def test_an_arm_cpu_computes_the_same_bits(residual, cpu, isa) -> None:
    _need_aarch64()
    assert _assert_same_bits(EmulatedDevice(arch="aarch64", cpu=cpu), residual) == isa


def _all_pairs(onnx_model, scales, zeros) -> onnx.ModelProto:
    """Return the sum and the product of every two codes."""
    (sa, sb, sy), (za, zb, zy) = scales, zeros
    constants = {
        **{name: np.float32(scale) for name, scale in (("sa", sa), ("sb", sb), ("sy", sy))},
        **{name: np.uint8(zero) for name, zero in (("za", za), ("zb", zb), ("zy", zy))},
    }
    kernels = (
        f"{name} = com.microsoft.{kernel}(a, sa, za, b, sb, zb, sy, zy)"
        for name, kernel in (("sum", "QLinearAdd"), ("product", "QLinearMul"))
    )
    inputs, outputs = "uint8[65536] a, uint8[65536] b", "uint8[65536] sum, uint8[65536] product"
    return onnx_model(inputs, outputs, "\n".join(kernels), constants, domain="com.microsoft")


@pytest.mark.emulation
def test_the_oracle_knows_sums_and_products_of_an_arm_cpu(onnx_model) -> None:
    _need_aarch64()
    codes = np.arange(256, dtype=np.uint8)
    feeds = {"a": np.repeat(codes, 256), "b": np.tile(codes, 256)}
    scales = [(0.05, 0.05, 0.1), *np.random.default_rng(0).uniform(0.005, 0.08, (6, 3))]
    differ = 0
    with EmulatedDevice(arch="aarch64").connect() as connection:
        for index, three in enumerate(scales):
            model = _all_pairs(onnx_model, three, [(0, 0, 0), (128, 128, 128), (0, 128, 0)][index % 3])
            with connection.host.open(model.SerializeToString(), optimize=False) as session:
                there = session.run(feeds)
            found = check_against_oracle(model, {**feeds, **there})
            assert (found.nodes, found.mismatches) == (2, 0), found.first_mismatch
            with HERE.open(model.SerializeToString(), optimize=False) as session:
                differ += int((session.run(feeds)["sum"] != there["sum"]).sum())
    assert differ > 1000  # halves: away from zero there, to even here


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
