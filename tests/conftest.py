"""Fixtures for all tests. What needs torch imports it late: most test files do not."""

import collections
import getpass
import json
import os
import platform
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx.parser
import onnx_ir as ir
import pytest

from edgekd.board.lock import FOLDER_VARIABLE

if "PYTEST_XDIST_WORKER" in os.environ:  # the cores are taken by the other test processes
    os.environ.setdefault("OMP_NUM_THREADS", "1")


@pytest.fixture(scope="session", autouse=True)
def _own_surroundings() -> Iterator[None]:
    """Let no measurement wait for others' lock, and no setting of a shell count."""
    with (
        tempfile.TemporaryDirectory(prefix="edgekd-tests-", ignore_cleanup_errors=True) as folder,
        pytest.MonkeyPatch.context() as patch,
    ):
        patch.setenv("TMPDIR", folder)
        patch.setenv(FOLDER_VARIABLE, folder)
        patch.delenv("EDGEKD_PROGRESS", raising=False)
        yield


@dataclass(frozen=True)
class Exported:
    """A float network on its whole way: prepared, calibrated, exported, verified."""

    folder: Path
    student: Any
    inputs: np.ndarray
    optimized: onnx.ModelProto
    faithfulness: Any

    @property
    def model(self) -> Path:
        return self.folder / "model.onnx"

    @property
    def marked(self) -> Path:
        return self.folder / "marked.onnx"

    @property
    def lowered(self) -> onnx.ModelProto:
        return onnx.load(self.model)

    @property
    def ops(self) -> collections.Counter[str]:
        """Operator types of the optimised graph; channels-last variants count as the operator itself."""
        return collections.Counter(node.op_type.removeprefix("Nhwc") for node in self.optimized.graph.node)

    @property
    def float_ops(self) -> list[str]:
        return [fallback.op for fallback in self.faithfulness.coverage.fallbacks]

    def assert_faithful(self) -> None:
        oracle, layers = self.faithfulness.oracle, self.faithfulness.layers
        assert oracle.nodes > 0
        assert oracle.mismatches == 0, oracle.first_mismatch
        assert layers
        assert [layer for layer in layers if layer.off_by_more] == []

    def assert_integer(self) -> None:
        assert self.float_ops == []
        self.assert_faithful()


@pytest.fixture(scope="session")
def with_statistics():
    """Return a function that gives every BatchNorm gains of both signs and of 0, and running statistics."""
    import torch
    from torch import nn

    @torch.no_grad()
    def give(network: nn.Module) -> nn.Module:
        generator = torch.Generator().manual_seed(1)
        for norm in network.modules():
            if isinstance(norm, nn.BatchNorm1d | nn.BatchNorm2d):
                norm.weight.uniform_(-1, 1.5, generator=generator)
                norm.weight[0] = 0
                norm.bias.normal_(0, 0.3, generator=generator)
                norm.running_mean.normal_(0, 0.3, generator=generator)
                norm.running_var.uniform_(0.5, 2, generator=generator)
        return network.eval()

    return give


@pytest.fixture(scope="session")
def export_integer(tmp_path_factory, with_statistics) -> Callable[..., Exported]:
    """Return a function that takes a float network and inputs all the way to a verified engine."""
    from edgekd.export.export import export
    from edgekd.quant.calibrate import calibrate
    from edgekd.quant.prepare import prepare
    from edgekd.runtimes.onnx_runtime import optimized_graph
    from edgekd.runtimes.onnx_runtime_target import OnnxRuntimeTarget
    from edgekd.runtimes.target import BuiltModel
    from edgekd.verify.verify_engine import verify_graph

    def run(network, inputs, profile="ort", *, scheme=None) -> Exported:
        folder = tmp_path_factory.mktemp("exported")
        student = prepare(with_statistics(network), inputs[:2], profile, scheme=scheme)
        calibrate(student, [inputs], "minmax")
        model = export(student, inputs, folder)
        faithfulness = verify_graph(
            BuiltModel(OnnxRuntimeTarget(), model), inputs.numpy(), marked=folder / "marked.onnx"
        )
        return Exported(folder, student, inputs.numpy(), optimized_graph(model), faithfulness)

    return run


@pytest.fixture(scope="session")
def export_residual(export_integer) -> Callable[..., Exported]:
    """Return a function that exports a small residual network on raw pixels for a profile."""
    import torch
    import torch.nn.functional as F
    from torch import nn

    from edgekd.zoo.pixels import ImageNetwork, PixelGrid

    class Residual(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.stem = nn.Conv2d(3, 8, 3, padding=1, bias=False)
            self.norm = nn.BatchNorm2d(8)
            self.left = nn.Conv2d(8, 8, 3, padding=1)
            self.linear = nn.Linear(8, 5)

        def forward(self, x):
            x = F.relu(self.norm(self.stem(x)))
            x = F.relu(self.left(x) + x)
            return self.linear(x.mean((2, 3)))

    def run(profile) -> Exported:
        torch.manual_seed(0)
        images = torch.randint(0, 256, (8, 10, 10, 3), dtype=torch.uint8)
        return export_integer(ImageNetwork(PixelGrid.like(), Residual()), images, profile)

    return run


@pytest.fixture(scope="session")
def residual(export_residual) -> Exported:
    """A small residual network, as integers. Read only."""
    return export_residual("ort")


@pytest.fixture(scope="session")
def residual_portable(export_residual) -> Exported:
    """The same for every runtime. Read only."""
    return export_residual("portable")


@pytest.fixture(scope="session")
def onnx_model() -> Callable[..., onnx.ModelProto]:
    """Return a function that builds a model from ONNX text and its constants."""

    def build(
        inputs: str, outputs: str, body: str, constants: Mapping[str, Any], *, domain: str = ""
    ) -> onnx.ModelProto:
        domains = '"" : 21' + (f', "{domain}" : 1' if domain else "")
        text = f"<ir_version: 10, opset_import: [{domains}]> hand_made ({inputs}) => ({outputs}) {{ {body} }}"
        model = onnx.parser.parse_model(text)
        read = {name for node in model.graph.node for name in node.input}
        model.graph.initializer.extend(
            ir.to_proto(ir.tensor(np.asarray(value), name=name))
            for name, value in constants.items()
            if name in read
        )
        return model

    return build


@pytest.fixture(scope="session")
def torchvision() -> Any:
    """Import torchvision, also a build for CUDA beside a torch for the CPU.

    Its compiled operators, for detection, cannot be loaded there; importing it only asks that two of them
    have been declared. timm imports torchvision too.
    """
    import torch

    try:
        import torchvision
    except RuntimeError:
        for name in ("nms", "qnms"):
            arguments = "Tensor dets, Tensor scores, float iou_threshold"
            torch.library.define(f"torchvision::{name}", f"({arguments}) -> Tensor")
        import torchvision
    return torchvision


@pytest.fixture(scope="session")
def qemu() -> list[str]:
    """Return the command that runs this Python on an x86-64 CPU with AVX2 but without VNNI."""
    if platform.machine() != "x86_64" or sys.platform != "linux":
        pytest.skip(f"emulates x86-64 Linux binaries; this is {sys.platform} on {platform.machine()}")
    emulator = shutil.which("qemu-x86_64")
    if emulator is None:
        pytest.skip("qemu-x86_64 is not on the PATH (Debian package qemu-user)")
    return [emulator, "-cpu", "Haswell", sys.executable]


@pytest.fixture
def run_in_both(tmp_path) -> Callable[..., tuple[dict[str, Any], dict[str, Any]]]:
    """Return a function that runs models in this ONNX Runtime and in an older one: operators and digests."""
    older = os.environ.get("EDGEKD_OLD_ONNXRUNTIME")
    if older is None:
        pytest.skip("EDGEKD_OLD_ONNXRUNTIME names no folder with an older onnxruntime (pip install --target)")

    def run(
        models: Mapping[str, tuple[onnx.ModelProto, np.ndarray]],
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        for name, (model, given) in models.items():
            onnx.save(model, tmp_path / f"{name}.onnx")
            np.save(tmp_path / f"{name}.npy", given)
        command = [sys.executable, str(Path(__file__).parent / "runtimes" / "run_models.py"), str(tmp_path)]
        paths = os.pathsep.join([older, *filter(None, [os.environ.get("PYTHONPATH")])])
        here, there = (
            json.loads(subprocess.check_output(command, text=True, env=environment))
            for environment in (os.environ, {**os.environ, "PYTHONPATH": paths})
        )
        assert there.pop("version") < here.pop("version")
        return here, there

    return run


SSHD = "/usr/sbin/sshd"


@dataclass(frozen=True)
class Board:
    """What ssh reaches by the name ``board``."""

    folder: Path
    config: Path

    @property
    def temporary(self) -> Path:
        return self.folder / "tmp"

    def device(self, **options: object) -> Any:
        from edgekd.device.ssh import SshDevice

        return SshDevice(**{"host": "board", "python": sys.executable, "config": self.config, **options})

    def config_with(self, *lines: str) -> Path:
        """Return a copy of ssh's configuration in which these lines come first."""
        path = self.folder / f"config{abs(hash(lines))}"
        path.write_text("\n".join([*lines, self.config.read_text()]))
        return path

    def script(self, name: str, text: str) -> str:
        """Return an executable on the board, which stands in for its Python."""
        path = self.folder / name
        path.write_text(f"#!/bin/sh\n{text}\n")
        path.chmod(0o755)
        return str(path)

    def processes(self) -> list[int]:
        """Return what runs with a folder of a runner on its command line."""
        return [pid for pid, line in _command_lines() if f"{self.temporary}/edgekd." in line]

    def assert_empty(self) -> None:
        """Nothing of a runner is there, at the latest after a moment."""
        end = time.monotonic() + 10
        while (left := [*self.processes(), *self._files()]) and time.monotonic() < end:
            time.sleep(0.05)
        assert left == []

    def _files(self) -> list[Path]:
        """Return what is there but for the lock, which all measurements of a machine share."""
        return [path for path in self.temporary.iterdir() if path.name != "edgekd-measuring.lock"]

    def runner(self) -> int:
        (pid,) = (pid for pid, line in _command_lines() if f"serve\0{self.temporary}/edgekd." in line)
        return pid

    def cut(self) -> None:
        """End the connection on the board's side, as a crash of its sshd would."""
        shell = _parent(self.runner())
        os.kill(_parent(shell), signal.SIGKILL)


def _command_lines() -> Iterator[tuple[int, str]]:
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            yield int(path.parent.name), path.read_text(errors="replace")
        except OSError:
            continue


def _parent(pid: int) -> int:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return int(fields[1])


def _key(path: Path) -> str:
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(path)], check=True)
    return path.with_suffix(".pub").read_text()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _wait_for(port: int, server: "subprocess.Popen[bytes]") -> None:
    for _ in range(200):
        with socket.socket() as client:
            if client.connect_ex(("127.0.0.1", port)) == 0:
                return
        assert server.poll() is None, "sshd ended"
        time.sleep(0.05)
    pytest.fail("sshd does not listen")


@pytest.fixture(scope="session")
def board(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Board]:
    if not Path(SSHD).exists() or shutil.which("ssh") is None:
        pytest.skip("there is no sshd here (Debian package openssh-server)")
    folder = tmp_path_factory.mktemp("board")
    (folder / "tmp").mkdir()
    host_key, user_key, port = _key(folder / "host"), _key(folder / "user"), _free_port()
    (folder / "authorized_keys").write_text(user_key)
    (folder / "known_hosts").write_text(f"[127.0.0.1]:{port} {host_key}")
    (folder / "sshd_config").write_text(
        f"Port {port}\nListenAddress 127.0.0.1\nHostKey {folder}/host\nPidFile none\nUsePAM no\n"
        f"StrictModes no\nAuthorizedKeysFile {folder}/authorized_keys\nPasswordAuthentication no\n"
        f"KbdInteractiveAuthentication no\nSetEnv TMPDIR={folder}/tmp OMP_NUM_THREADS=1 "
        f"{FOLDER_VARIABLE}={folder}/tmp\n"
    )
    config = folder / "config"
    config.write_text(
        f"Host board\n  HostName 127.0.0.1\n  Port {port}\n  User {getpass.getuser()}\n"
        f"  IdentityFile {folder}/user\n  IdentitiesOnly yes\n  IdentityAgent none\n"
        f"  UserKnownHostsFile {folder}/known_hosts\n  GlobalKnownHostsFile /dev/null\n"
    )
    if os.getuid() == 0:
        Path("/run/sshd").mkdir(exist_ok=True)  # sshd of root demands it
    with (folder / "log").open("w") as log:
        server = subprocess.Popen([SSHD, "-D", "-e", "-f", str(folder / "sshd_config")], stderr=log)
    try:
        _wait_for(port, server)
        yield Board(folder, config)
    finally:
        server.terminate()
        server.wait()


@pytest.fixture
def make_key() -> Callable[[Path], str]:
    """Return a function that writes a key pair and returns its public half."""
    return _key
