"""Networks that edgekd has not written, on their whole way to integers; a run with the user's own code."""

import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from pydantic import TypeAdapter

from edgekd.cli.main import main
from edgekd.core import user_code
from edgekd.data.digits import DigitsSpec
from edgekd.export.onnx_file import export_onnx
from edgekd.report.schema import Report
from edgekd.unions import Network
from edgekd.zoo.pixels import ImageNetwork, NormalizePixels, PixelGrid
from edgekd.zoo.resnet_cifar import ResNetCifarSpec

TINY = (Path(__file__).parents[1] / "specs" / "tiny.yaml").read_text()
RESNET18 = """
from edgekd.zoo.resnet import ResNetSpec

def build(channels, classes):
    return ResNetSpec(depth=18).build(channels=channels, classes=classes, size=(32, 32))
"""
MINE = """
from pathlib import Path
from layers import conv

from torch import nn

(Path(__file__).parent / "ran").touch()

def build(channels, classes, width):
    return nn.Sequential(conv(channels, width), nn.Flatten(), nn.Linear(width * 64, classes))
"""
LAYERS = """
from torch import nn

def conv(a, b):
    return nn.Sequential(nn.Conv2d(a, b, 3, padding=1, bias=False), nn.BatchNorm2d(b), nn.ReLU())
"""


@pytest.mark.parametrize("text", ["timm:resnet18", "torchvision:resnet18", "python:mine.py:build"])
def test_resnet18_of_any_origin_becomes_integers(
    torchvision: Any, export_integer: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    (tmp_path / "mine.py").write_text(RESNET18)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(user_code, "_ALLOWED", True)
    torch.manual_seed(0)
    body = TypeAdapter(Network).validate_python(text).build(channels=3, classes=10, size=(32, 32))
    images = torch.randint(0, 256, (4, 32, 32, 3), dtype=torch.uint8)
    exported = export_integer(ImageNetwork(PixelGrid.like(), body), images)
    exported.assert_integer()
    assert exported.ops["QLinearConv"] == 20


@pytest.mark.parametrize("name", ["test_vit2", "test_byobnet", "test_efficientnet_gn"])
def test_networks_of_timm_are_exact_and_float_only_by_the_closed_list(
    torchvision: Any, export_integer: Any, name: str
) -> None:
    torch.manual_seed(0)
    options = {"num_heads": 2} if name == "test_vit2" else {}
    spec = {"kind": "timm", "name": name, "options": options}
    body = TypeAdapter(Network).validate_python(spec).build(channels=3, classes=10, size=(32, 32))
    images = torch.randint(0, 256, (4, 32, 32, 3), dtype=torch.uint8)
    exported = export_integer(ImageNetwork(PixelGrid.like(), body), images)
    exported.assert_faithful()
    found = exported.faithfulness
    assert found.oracle.unchecked == ()
    assert found.coverage.unlisted == ()
    assert 0 < found.coverage.integer_time_share <= 1
    assert (found.coverage.fallbacks == ()) == (name == "test_byobnet")


Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    handlers: None,
    one_thread: None,
) -> Run:
    """Run a verb on ``tiny.yaml`` with the user's own student and an ONNX file as its teacher."""
    monkeypatch.setattr(user_code, "_ALLOWED", False)
    folder = tmp_path / "project"
    (folder / "nets").mkdir(parents=True)
    (folder / "nets" / "mine.py").write_text(MINE)
    (folder / "nets" / "layers.py").write_text(LAYERS)
    torch.manual_seed(0)
    body = ResNetCifarSpec(depth=8).build(channels=1, classes=10, size=(8, 8))
    teacher = ImageNetwork(NormalizePixels((0.5,), (0.25,)), body)
    example = torch.tensor(DigitsSpec(image_size=8).split("test").images[:2])
    export_onnx(teacher, example, folder / "teacher.onnx")
    (folder / "tiny.yaml").write_text(
        TINY.replace(
            "network: {kind: resnet_cifar, depth: 14}\n  training: {epochs: 1, learning_rate: 0.05}",
            "network: onnx:teacher.onnx",
        ).replace(
            "network: {kind: resnet_cifar, depth: 8}",
            "network: {kind: python, file: nets/mine.py, function: build, options: {width: 8}}",
        )
    )

    def verb(name: str, *words: str, project: Path = folder) -> tuple[int, str, str]:
        command = ["edgekd", name, project / "tiny.yaml", "--store", tmp_path / "store", *words]
        monkeypatch.setattr(sys, "argv", [*map(str, command)])
        with pytest.raises(SystemExit) as stop:
            main()
        captured = capsys.readouterr()
        return int(stop.value.code or 0), captured.out, captured.err

    return verb


def test_own_student_and_onnx_teacher_run_when_allowed(run: Run, tmp_path: Path) -> None:
    project, runs = tmp_path / "project", ("--runs", str(tmp_path / "runs"))
    code, out, _ = run("check")
    assert code == 0
    assert "needs --allow-code" in out
    assert "distill_student" in out

    code, _, error = run("compress", *runs)
    assert code == 2
    assert "runs code of yours" in error
    assert "--allow-code" in error
    assert not (tmp_path / "store" / "entries").exists()
    assert not (project / "nets" / "ran").exists()

    code, _, error = run("compress", *runs, "--allow-code")
    assert code == 0, error
    assert (project / "nets" / "ran").exists()
    report = Report.load(tmp_path / "runs" / "tiny" / "report.json")
    (target,) = report.targets
    assert report.student.name == "mine.build"
    assert report.teacher is not None
    assert report.teacher.name == "teacher.onnx"
    assert report.teacher.size_bytes == (project / "teacher.onnx").stat().st_size
    assert {baseline.name for baseline in target.baselines} == {"teacher_float", "student_float", "ptq"}
    assert (target.coverage.float_ops, target.fidelity.oracle_mismatches) == (0, 0)

    layers = project / "nets" / "layers.py"
    layers.write_text(LAYERS + "# changed\n")
    first = next(stage for stage in json.loads(run("check", "--json")[1])["stages"] if not stage["cached"])
    assert (first["name"], first["why"]) == ("given_student", "files behind student changed")
    layers.write_text(LAYERS)

    shutil.move(project, tmp_path / "moved")
    _, out, _ = run("check", "--json", project=tmp_path / "moved")
    assert all(stage["cached"] for stage in json.loads(out)["stages"])
