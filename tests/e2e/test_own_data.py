"""The first five minutes: a folder of images, ``edgekd init --run``, an engine that runs without edgekd."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from edgekd.data.decode import Encoded, ImageFormat
from edgekd.report.schema import Report
from edgekd.runtimes.onnx_runtime_target import OnnxRuntimeTarget
from edgekd.spec import Pipeline, load_pipeline

EDGEKD = Path(sys.executable).parent / "edgekd"
NAMES = {"deep, blue": (20, 30, 200), "green": (30, 200, 40), "red": (200, 40, 30)}


@dataclass(frozen=True)
class First:
    """What ``edgekd init --run`` left."""

    root: Path
    err: str

    @property
    def folder(self) -> Path:
        return self.root / "runs" / "photos"

    @property
    def spec(self) -> Pipeline:
        return load_pipeline(self.root / "photos.yaml")


def _write_photos(folder: Path) -> None:
    """Three classes of 20 images in two formats and other sizes, the left half darker."""
    rng = np.random.default_rng(0)
    for name, colour in NAMES.items():
        (folder / name).mkdir(parents=True)
        for i in range(20):
            pixels = rng.integers(0, 56, (70 + i, 100, 3)) + np.array(colour)
            pixels[:, :50] //= 2
            Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(
                folder / name / f"{i}.{('png', 'jpg')[i % 2]}"
            )


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> Iterator[First]:
    root = tmp_path_factory.mktemp("first")
    _write_photos(root / "photos")
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "EDGEKD_STORE": str(root / "store")}
    command = [EDGEKD, "init", "--from", "ds_cnn", "--data", "photos", "--run"]
    done = subprocess.run(command, cwd=root, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    yield First(root, done.stderr)


def test_init_run_makes_a_report_of_ones_own_data(first: First) -> None:
    # 20 images per class: 4 are test, a tenth of the other 16 is 2
    assert "3 classes, 42 train, 6 validation, 12 test images, 64x64 pixels" in first.err
    assert "the student is trained in float for 20 epochs first" in first.err
    report = Report.load(first.folder / "report.json")
    assert (report.data.kind, report.data.classes) == ("image_folder", 3)
    (target,) = report.targets
    assert target.metric.value > 0.9
    assert (target.coverage.float_ops, target.fidelity.oracle_mismatches) == (0, 0)


def _infer(folder: Path, image: Path) -> str:
    command = [sys.executable, "-I", "-W", "error", folder / "infer.py", image]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_infer_script_says_what_training_would_say(first: First, tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    large = Image.fromarray(np.random.default_rng(5).integers(0, 256, (9, 12, 3), dtype=np.uint8)).resize(
        (900, 700)
    )
    large.save(tmp_path / "turned.jpg", exif=exif)
    images = [tmp_path / "turned.jpg", *(first.root / "photos" / name / "3.jpg" for name in NAMES)]
    names = first.spec.data.info().class_names
    with OnnxRuntimeTarget().open(first.folder / "model.onnxruntime.onnx") as session:
        for path in images:
            assert _infer(first.folder, path) == names[session.predict(_decoded(first, path))[0].argmax()]


def test_infer_script_without_an_image_says_how_to_use_it(first: First) -> None:
    for words in ((), ("none.png",)):
        command = [sys.executable, "-I", first.folder / "infer.py", *words]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert (done.returncode, done.stderr.count("\n")) == (1, 1)
        assert done.stderr.startswith("usage: python infer.py IMAGE")


def _decoded(first: First, path: Path) -> np.ndarray:
    info = first.spec.data.info()
    form = ImageFormat(info.height, info.width, info.color_order, "crop")
    return form.decode(Encoded(path, str(path)))[np.newaxis]


def test_infer_script_sees_the_pixels_of_training(first: First, tmp_path: Path) -> None:
    """The script's own lines, up to the pixels, against what the network was trained on."""
    lines = (first.folder / "infer.py").read_text().partition("inputs = ")[0]
    lines = lines.replace("__file__", repr(str(first.folder / "infer.py")))
    path = first.root / "photos" / "green" / "7.jpg"
    code = f"import sys; sys.argv = ['', {str(path)!r}]\n{lines}\nnp.save({str(tmp_path / 'x')!r}, pixels)"
    subprocess.run([sys.executable, "-I", "-c", code], check=True)
    np.testing.assert_array_equal(np.load(tmp_path / "x.npy"), _decoded(first, path))


def test_second_run_reads_no_image(first: First) -> None:
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "EDGEKD_STORE": str(first.root / "store")}
    command = [EDGEKD, "check", "photos.yaml", "--json"]
    done = subprocess.run(
        command, cwd=first.root, env=environment, capture_output=True, text=True, check=True
    )
    assert all(stage["cached"] for stage in json.loads(done.stdout)["stages"])
    assert "decode" not in done.stderr


def test_streamed_set_scores_the_same(first: First, tmp_path: Path) -> None:
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "EDGEKD_STORE": str(first.root / "store")}
    words = ["compress", "photos.yaml", "--set", "data.memory_bytes=0", "--runs", tmp_path]
    done = subprocess.run([EDGEKD, *words], cwd=first.root, env=environment, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr
    streamed = Report.load(tmp_path / "photos" / "report.json")
    assert all(stage.cached for stage in streamed.stages)
    assert streamed.targets[0].metric == Report.load(first.folder / "report.json").targets[0].metric


def test_verify_takes_the_folder_at_the_size_of_the_engine(first: First) -> None:
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "EDGEKD_STORE": str(first.root / "store")}
    words = ["verify", first.folder / "model.onnxruntime.onnx", "--data", "image_folder:photos", "--json"]
    done = subprocess.run([EDGEKD, *words], cwd=first.root, env=environment, capture_output=True, check=True)
    report = Report.load(first.folder / "report.json")
    assert json.loads(done.stdout)["top1"] == report.targets[0].metric.value
