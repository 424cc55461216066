import json
from pathlib import Path

import numpy as np
import pytest
import yaml

TINY = Path(__file__).parents[1] / "specs" / "tiny.yaml"


@pytest.fixture
def spec(tmp_path: Path) -> Path:
    """A pipeline on 40 train images of two classes, 30 and 10."""
    path = tmp_path / "mine.yaml"
    written = yaml.safe_load(TINY.read_text())
    written["data"] = {"kind": "arrays", "path": str(tmp_path / "x.npz"), "class_names": ["few", "many"]}
    written["quantize"]["calibration"] = {"samples": 12}
    written["training"]["batch_size"] = 32
    path.write_text(yaml.safe_dump(written))
    images = np.random.default_rng(0).integers(0, 256, (45, 8, 8), dtype=np.uint8)
    labels = np.repeat([1, 0], [30, 10])
    rest = {"x_test": images[40:], "y_test": labels[:5], "x_val": images[40:], "y_val": labels[:5]}
    np.savez(tmp_path / "x.npz", x_train=images[:40], y_train=labels, **rest)
    return path


def _change_the_images(folder: Path) -> None:
    with np.load(folder / "x.npz") as stored:
        arrays = dict(stored)
    arrays["x_train"] = 255 - arrays["x_train"]
    np.savez(folder / "x.npz", **arrays)


def test_calibrate_writes_a_balanced_manifest_and_says_how_to_use_it(cli, spec: Path) -> None:
    done = cli("calibrate", spec)
    manifest = spec.with_name("mine.calibration.json")
    assert done.code == 0
    assert f"{manifest}: 12 of 40 train images\nby class: few 6, many 6\n" in done.out
    assert done.out.endswith(
        f"Next, in {spec}: quantize: {{calibration: {{manifest: mine.calibration.json}}}}\n"
    )
    assert len(json.loads(manifest.read_text())["samples"]) == 12


def test_calibrate_takes_all_of_a_small_class_and_other_seeds(cli, spec: Path) -> None:
    words = ("calibrate", spec, "--samples", "25", "--json", "--force")
    first, again, other = (json.loads(cli(*words, "--seed", seed).out) for seed in ("0", "0", "1"))
    assert first["classes"] == {"few": 10, "many": 15}
    assert first == again
    assert first["sha256"] != other["sha256"]


def test_calibrate_never_writes_over_a_manifest_unless_forced(cli, spec: Path, tmp_path: Path) -> None:
    out = tmp_path / "new" / "m.json"
    assert cli("calibrate", spec, "--out", out).code == 0
    before = out.read_text()
    done = cli("calibrate", spec, "--out", out, "--seed", "1")
    assert (done.code, done.out, out.read_text()) == (2, "", before)
    assert "exists already" in done.err
    assert "--force" in done.err
    assert cli("calibrate", spec, "--out", out, "--seed", "1", "--force").code == 0
    assert out.read_text() != before


def test_calibrate_says_how_many_images_there_are(cli, spec: Path, tmp_path: Path) -> None:
    done = cli("calibrate", spec, "--samples", "41")
    assert (done.code, done.out) == (2, "")
    assert "cannot choose 41 samples: the train split has 40 images" in done.err
    assert not (tmp_path / "mine.calibration.json").exists()


def test_check_exits_3_with_the_first_difference(cli, spec: Path, tmp_path: Path) -> None:
    named = "quantize.calibration={manifest: m.json}"
    assert cli("calibrate", spec, "--set", named, "--samples", "20").code == 0  # where the pipeline file says
    done = cli("calibrate", spec, "--set", named, "--check")
    assert done.code == 0
    assert "every image is as it was" in done.out
    _change_the_images(tmp_path)
    done = cli("calibrate", spec, "--set", named, "--check")
    assert done.code == 3
    assert "differs: 20 of 20 images have changed, the first is row" in done.out
    seen = json.loads(cli("calibrate", spec, "--set", named, "--check", "--json").out)
    assert "images have changed" in seen["difference"]


@pytest.mark.parametrize(
    ("override", "says"),
    [
        ("seed=1", "names no calibration manifest"),
        ("quantize.calibration={manifest: none.json}", "the calibration manifest cannot be read"),
    ],
)
def test_check_without_a_manifest_exits_2(cli, spec: Path, override: str, says: str) -> None:
    done = cli("calibrate", spec, "--check", "--set", override)
    assert (done.code, done.out) == (2, "")
    assert says in done.err
    assert "edgekd calibrate" in done.err


@pytest.mark.parametrize(("samples", "code"), [(40, 0), (41, 2), (256, 0)])
def test_check_refuses_more_calibration_samples_than_there_are(
    cli, spec: Path, samples: int, code: int
) -> None:
    """The default takes what there is, and `check` says how many."""
    done = cli("check", spec, "--set", f"quantize.calibration.samples={samples}")
    assert done.code == code
    if code:
        assert "quantize.calibration.samples is 41: the train split has 40 images" in done.err
        assert "set it to 1..40" in done.err
    assert ("note: calibration sees all 40 train images" in done.out) == (samples == 256)
