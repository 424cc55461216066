"""Damaged, wrong or hostile data and models: one message each, exit 2, and nothing in them is executed."""

import io
import os
import pickle
import struct
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import onnx.parser
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from onnx import TensorProto, numpy_helper
from PIL import Image

from edgekd.runtimes.trial import try_model

TINY = (Path(__file__).parents[1] / "specs" / "tiny.yaml").read_text()


class Executed:
    """Makes the folder ``executed`` when it is unpickled."""

    def __reduce__(self) -> tuple[Callable[[str], None], tuple[str]]:
        return os.mkdir, ("executed",)


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder, in which the commands run."""
    folder = tmp_path / "place"
    folder.mkdir()
    monkeypatch.chdir(folder)
    (folder / "tiny.yaml").write_text(TINY)
    return folder


def _arrays(labels: object = None, **changed: object) -> None:
    labels = np.arange(40) % 10 if labels is None else labels
    np.savez("data.npz", **{"x_train": np.zeros((40, 8, 8), np.uint8), "y_train": labels, **changed})


def _array_of_objects() -> None:
    _arrays(np.array([Executed()] * 40, object))


def _zip_bomb() -> None:
    with zipfile.ZipFile("data.npz", "w", zipfile.ZIP_DEFLATED) as archive:
        for name in ("x_train.npy", "y_train.npy"):
            archive.writestr(name, b"\x93NUMPY\x01\x00")
        archive.getinfo("x_train.npy").file_size = 1 << 50


def _cut_arrays() -> None:
    _arrays()
    Path("data.npz").write_bytes(Path("data.npz").read_bytes()[:-300])


def _pickle_as_arrays() -> None:
    Path("data.npz").write_bytes(pickle.dumps(Executed()))


def _photos(**files: bytes) -> None:
    image = io.BytesIO()
    Image.new("RGB", (9, 9)).save(image, "PNG")
    for name in ("a", "b"):
        folder = Path("photos", name)
        folder.mkdir(parents=True)
        for index in range(5):
            (folder / f"{index}.png").write_bytes(image.getvalue())
    for name, content in files.items():
        Path("photos", "b", f"{name}.png").write_bytes(content)


def _empty_class() -> None:
    _photos()
    Path("photos", "c").mkdir()


def _image_bomb(side: int) -> None:
    header = b"IHDR" + struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    chunk = struct.pack(">I", 13) + header + struct.pack(">I", zlib.crc32(header))
    _photos(bomb=b"\x89PNG\r\n\x1a\n" + chunk + b"\0\0\0\0IDAT")


def _parquet(cut: int = 0, label: int = 1) -> None:
    image = io.BytesIO()
    Image.new("L", (8, 8)).save(image, "PNG")
    rows = {"img": [{"bytes": image.getvalue()}] * 4, "label": [0, label, 0, 1]}
    names = b'{"info": {"features": {"label": {"names": ["a", "b"]}}}}'
    table = pa.table(rows).replace_schema_metadata({b"huggingface": names})
    Path("table").mkdir()
    for part in ("train", "test"):
        path = Path("table", f"{part}-00000-of-00001.parquet")
        pq.write_table(table, path)
        path.write_bytes(path.read_bytes()[: -cut or None])


ARRAYS, PHOTOS = "{kind: arrays, path: data.npz}", "{kind: image_folder, path: photos, height: 8, width: 8}"
PARQUET = "{kind: parquet, path: table, color_order: L}"
DATA = {
    "array of objects": (_array_of_objects, ARRAYS, "without objects"),
    "pickle": (_pickle_as_arrays, ARRAYS, "not readable as numpy arrays"),
    "cut archive": (_cut_arrays, ARRAYS, "not readable as numpy arrays"),
    "zip bomb": (_zip_bomb, ARRAYS, "unpack to 1125900 GB"),
    "label that is negative": (lambda: _arrays(np.arange(40) - 1), ARRAYS, "label -1 of row 0"),
    "label that is not a number": (lambda: _arrays(np.full(40, np.nan)), ARRAYS, "not a finite number"),
    "one class": (lambda: _arrays(np.zeros(40, int)), ARRAYS, "of one class"),
    "no samples": (
        lambda: _arrays(np.zeros(0, int), x_train=np.zeros((0, 8, 8), np.uint8)),
        ARRAYS,
        "nothing",
    ),
    "float images": (lambda: _arrays(x_train=np.zeros((40, 8, 8))), ARRAYS, "not raw pixels"),
    "no label per image": (lambda: _arrays(np.arange(7)), ARRAYS, "40 images, but labels"),
    "empty class": (_empty_class, PHOTOS, "has no image"),
    "image that is text": (lambda: _photos(text=b"no image"), PHOTOS, "cannot be decoded"),
    "image of no bytes": (lambda: _photos(empty=b""), PHOTOS, "cannot be decoded"),
    "image bomb": (lambda: _image_bomb(60_000), PHOTOS, "cannot be decoded: Image size (3600000000 pixels)"),
    "smaller image bomb": (lambda: _image_bomb(9_000), PHOTOS, "image has 9000x9000 pixels"),
    "cut table": (lambda: _parquet(cut=30), PARQUET, "parquet"),
    "label without a name": (lambda: _parquet(label=7), PARQUET, "label"),
}


@pytest.mark.parametrize("name", DATA)
def test_damaged_or_hostile_data_exit_2(cli, place: Path, name: str) -> None:
    make, section, says = DATA[name]
    make()
    sets = (f"data={section}", "distill={kind: none}", "quantize.calibration.samples=1")
    done = cli("compress", "tiny.yaml", *(f"--set={item}" for item in sets))
    assert (done.code, done.out) == (2, ""), done.err
    assert says in done.err
    assert "fix:" in done.err
    assert "Traceback" not in done.err
    assert not (place / "executed").exists()
    assert not (place / "runs").exists()


def _model(text: str, **constants: np.ndarray) -> onnx.ModelProto:
    model = onnx.parser.parse_model(f'<ir_version: 10, opset_import: ["" : 21, "other" : 1]> g {text}')
    model.graph.initializer.extend(numpy_helper.from_array(value, key) for key, value in constants.items())
    return model


def _outside(location: str) -> onnx.ModelProto:
    model = _model("(float[2,2] x) => (float[2,2] y) { y = MatMul (x, w) }", w=np.eye(2, dtype=np.float32))
    (weights,) = model.graph.initializer
    weights.ClearField("raw_data")
    weights.data_location = TensorProto.EXTERNAL
    weights.external_data.add(key="location", value=location)
    return model


FULL = np.full(1, 1 << 17, np.int64)
MODELS = {
    "external data above": (lambda: _outside("../secret"), "outside of its own folder"),
    "external data anywhere": (lambda: _outside("/etc/passwd"), "outside of its own folder"),
    "external data behind a link": (lambda: _outside("link"), "outside of its own folder"),
    "external data in memory": (lambda: _outside("*/_ORT_MEM_ADDR_/*"), "missing"),
    "external data with no possible name": (lambda: _outside("a\0b" + "x" * 5000), "missing"),
    "cycle": (lambda: _model("(float[2] x) => (float[2] y) { y = Add (x, z) z = Neg (y) }"), "refuses"),
    "operator of nobody": (lambda: _model("(float[2] x) => (float[2] y) { y = other.Magic (x) }"), "refuses"),
    "input that is a list": (
        lambda: _model("(seq(float[2]) x) => (float[n] y) { y = ConcatFromSequence<axis=0> (x) }"),
        "not a tensor of numbers",
    ),
    "input that is text": (
        lambda: _model("(string[2] x) => (string[2] y) { y = Identity (x) }"),
        "not a tensor",
    ),
    "input that fills the memory": (
        lambda: _model("(float[1,3,99999,99999] x) => (float[1,3,99999,99999] y) { y = Neg (x) }"),
        "would fill the memory",
    ),
    "tensor that fills the memory": (
        lambda: _model(
            "(float[1] x) => (float[a,b,c] y) { s = Concat<axis=0> (n, n, n) y = Expand (x, s) }", n=FULL
        ),
        "",
    ),
    "loop without end": (
        lambda: _model(
            "(float[1] x) => (float[1] y) { y = Loop (m, t, x) <body = b (int64 i, bool c, float[1] v) => "
            "(bool d, float[1] u) { d = Identity (c) u = Neg (v) }> }",
            m=np.int64(1 << 62),
            t=np.bool_(True),
        ),
        "is not done after 2 s",
    ),
    "constant of another size": (
        lambda: _model("(float[2] x) => (float[2] y) { y = Add (x, w) }", w=np.zeros(3, np.float32)),
        "",
    ),
    "wrong rank": (
        lambda: _model("(float[2] x) => (float[2] y) { y = Conv (x, w) }", w=np.zeros((1,) * 4, np.float32)),
        "refuses",
    ),
}


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("verb", ["inspect", "bench"])
def test_damaged_or_hostile_models_exit_2(
    cli, place: Path, monkeypatch: pytest.MonkeyPatch, verb: str, name: str
) -> None:
    monkeypatch.setitem(try_model.__kwdefaults__, "time_limit_s", 2.0)
    make, says = MODELS[name]
    (place.parent / "secret").write_bytes(bytes(16))
    (place / "link").symlink_to(place.parent / "secret")
    (place / "m.onnx").write_bytes(make().SerializeToString())
    done = cli(verb, "m.onnx")
    assert (done.code, done.out) == (2, ""), done.err
    assert says in done.err
    assert "m.onnx" in done.err
    assert "fix:" in done.err
    assert "Traceback" not in done.err
