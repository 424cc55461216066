"""The package ``datasets``, offline, on folders of parquet files that the tests write."""

import importlib.util
import io
import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from edgekd.data.hub import HubSpec
from edgekd.errors import DataError, RuntimeMissing

PIXELS = np.random.default_rng(0).integers(0, 256, (12, 9, 12, 3), dtype=np.uint8)
FEATURES = {
    "photo": {"_type": "Image"},
    "species": {"names": ["cat", "dog"], "_type": "ClassLabel"},
}

without_datasets = pytest.mark.skipif(
    importlib.util.find_spec("datasets") is None, reason="the package datasets is not installed"
)
pytestmark = [pytest.mark.usefixtures("store", "offline"), pytest.mark.filterwarnings("ignore")]


@pytest.fixture
def offline(monkeypatch, tmp_path):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    if importlib.util.find_spec("datasets") is not None:
        import datasets

        monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
        datasets.disable_progress_bars()


def png(pixels):
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "PNG")
    return stream.getvalue()


def write(path, encoded, labels, *, features=FEATURES, names=("photo", "species")):
    kind = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    images = pa.array([{"bytes": item, "path": None} for item in encoded], kind)
    table = pa.table({names[0]: images, names[1]: pa.array(labels, pa.int64())})
    metadata = {"huggingface": json.dumps({"info": {"features": features}})}
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(table.replace_schema_metadata(metadata), path)


@pytest.fixture
def folder(tmp_path):
    write(tmp_path / "set" / "train-00000-of-00001.parquet", [png(item) for item in PIXELS[:8]], [0, 1] * 4)
    write(tmp_path / "set" / "test-00000-of-00001.parquet", [png(item) for item in PIXELS[8:]], [1, 0, 0, 1])
    return tmp_path / "set"


def spec(folder, **options):
    return HubSpec(path=str(folder), **{"height": 9, "width": 12, **options})


@without_datasets
@pytest.mark.parametrize("memory_bytes", [None, 0])
def test_splits_are_those_of_the_data_set(folder, memory_bytes):
    data = spec(folder, validation_fraction=0, memory_bytes=memory_bytes)
    assert data.info().class_names == ("cat", "dog")
    np.testing.assert_array_equal(data.split("train").images[:], PIXELS[:8])
    np.testing.assert_array_equal(data.split("test").images[:], PIXELS[8:])
    assert data.split("test").labels.tolist() == [1, 0, 0, 1]
    assert len(data.split("validation")) == 0
    assert data.train_rows() == 8


@without_datasets
def test_images_are_resized(folder):
    data = spec(folder, height=4, width=4)
    assert data.split("train").images.shape[1:] == (4, 4, 3)
    assert data.info().resize == "crop, bilinear"


@without_datasets
def test_digest_is_that_of_the_rows(folder, tmp_path):
    before = spec(folder).digest
    assert spec(folder, memory_bytes=0).digest == before
    write(tmp_path / "same" / "train-0.parquet", [png(item) for item in PIXELS[:8]], [0, 1] * 4)
    write(tmp_path / "same" / "test-0.parquet", [png(item) for item in PIXELS[8:]], [1, 0, 0, 1])
    assert spec(tmp_path / "same").digest == before
    write(tmp_path / "other" / "train-0.parquet", [png(item) for item in PIXELS[:8]], [1, 0] * 4)
    write(tmp_path / "other" / "test-0.parquet", [png(item) for item in PIXELS[8:]], [1, 0, 0, 1])
    assert spec(tmp_path / "other").digest != before


def complaint(data):
    with pytest.raises(DataError) as error:
        data.info()
        data.split("train")
    assert error.value.where
    assert error.value.fix
    return error.value


@without_datasets
def test_what_is_wrong_is_said(folder, tmp_path):
    assert "no split 'dev'; there are: train, test" in complaint(spec(folder, validation_split="dev")).what
    assert "cannot be loaded" in complaint(spec("nobody/has-this-data")).what
    write(tmp_path / "bad" / "train-0.parquet", [png(PIXELS[0]), png(PIXELS[1])[:50]] * 5, [0, 1] * 5)
    error = complaint(spec(tmp_path / "bad", test_split=""))
    assert "cannot be decoded" in error.what
    assert error.where.endswith("train: row 1")
    write(tmp_path / "labels" / "train-0.parquet", [png(item) for item in PIXELS[:8]], [0, 1, None, 0] * 2)
    assert "label -1 of row 2" in complaint(spec(tmp_path / "labels", test_split="")).what
    text = {"photo": {"_type": "Image"}, "species": {"dtype": "int64", "_type": "Value"}}
    write(tmp_path / "plain" / "train-0.parquet", [png(PIXELS[0])], [3], features=text)
    assert "ClassLabel" in complaint(spec(tmp_path / "plain", test_split="")).what


def test_missing_package_is_named_with_the_pip_line(monkeypatch, folder):
    monkeypatch.setitem(__import__("sys").modules, "datasets", None)
    with pytest.raises(RuntimeMissing) as error:
        spec(folder, revision="other").info()
    assert error.value.fix == "pip install 'edgekd[hub]'"
