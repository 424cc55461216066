import io
import json
import os

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from edgekd.data.parquet import ParquetSpec
from edgekd.errors import DataError

NAMES = ["cat", "dog", "eel"]
IMAGES = np.random.default_rng(0).integers(0, 256, (12, 4, 5, 3), dtype=np.uint8)


def png(pixels):
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "PNG")
    return stream.getvalue()


def write(path, images, labels, *, column="img", names=NAMES):
    encoded = [{"bytes": image if isinstance(image, bytes) else png(image), "path": None} for image in images]
    image_type = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    table = pa.table({column: pa.array(encoded, image_type), "label": pa.array(labels)})
    features = {"info": {"features": {"label": {"names": names, "_type": "ClassLabel"}}}}
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(table.replace_schema_metadata({"huggingface": json.dumps(features)}), path)


@pytest.fixture
def folder(tmp_path):
    write(tmp_path / "train-00000-of-00002.parquet", IMAGES[:7], [0, 1, 2, 0, 1, 2, 0])
    write(tmp_path / "train-00001-of-00002.parquet", IMAGES[7:10], [1, 2, 0])
    write(tmp_path / "test-00000-of-00001.parquet", IMAGES[10:], [2, 1])
    return tmp_path


def train_error(folder):
    with pytest.raises(DataError) as error:
        ParquetSpec(path=str(folder)).split("train")
    return error.value


def test_split_decodes_all_files_in_order(folder):
    spec = ParquetSpec(path=str(folder))
    train, test = spec.split("train"), spec.split("test")
    np.testing.assert_array_equal(train.images, IMAGES[:10])
    np.testing.assert_array_equal(test.images, IMAGES[10:])
    assert train.labels.tolist() == [0, 1, 2, 0, 1, 2, 0, 1, 2, 0]
    assert test.labels.tolist() == [2, 1]
    assert len(spec.split("validation")) == 0
    assert spec.split("train") is train


def test_split_takes_validation_rows_out_of_train(folder):
    spec = ParquetSpec(path=str(folder), validation_samples=4)
    train, validation = spec.split("train"), spec.split("validation")
    assert (spec.train_rows(), len(train), len(validation)) == (6, 6, 4)
    rows = sorted(image.tobytes() for split in (train, validation) for image in split.images)
    assert rows == sorted(image.tobytes() for image in IMAGES[:10])


def test_split_reads_the_plain_text_folder_of_the_hub(tmp_path):
    write(tmp_path / "plain_text" / "train-00000-of-00001.parquet", IMAGES[:2], [0, 1], column="image")
    assert len(ParquetSpec(path=str(tmp_path)).split("train")) == 2


def test_split_converts_to_the_colour_order(folder):
    train = ParquetSpec(path=str(folder), color_order="L").split("train")
    np.testing.assert_array_equal(
        train.images[3, :, :, 0], np.asarray(Image.fromarray(IMAGES[3]).convert("L"))
    )


def test_split_sees_a_file_that_was_replaced(folder):
    spec = ParquetSpec(path=str(folder))
    before, digest = spec.split("test"), spec.digest
    path = folder / "test-00000-of-00001.parquet"
    modified_ns = path.stat().st_mtime_ns
    write(path, IMAGES[10:], [0, 0])
    os.utime(path, ns=(modified_ns, modified_ns + 1))
    assert before.labels.tolist() == [2, 1]
    assert spec.split("test").labels.tolist() == [0, 0]
    assert spec.digest != digest


def test_info_describes_the_images(folder):
    info = ParquetSpec(path=str(folder)).info()
    assert (info.height, info.width, info.channels, info.color_order) == (4, 5, 3, "RGB")
    assert info.class_names == ("cat", "dog", "eel")


def test_digest_ignores_where_the_files_lie(folder, tmp_path_factory):
    copy = tmp_path_factory.mktemp("copy")
    for file in folder.iterdir():
        (copy / file.name).write_bytes(file.read_bytes())
    spec = ParquetSpec(path=str(folder))
    assert ParquetSpec(path=str(copy), fetch="get it").digest == spec.digest
    assert ParquetSpec(path=str(copy), validation_samples=1).digest != spec.digest


def test_split_shows_the_fetch_command_when_the_folder_is_missing(tmp_path):
    with pytest.raises(DataError) as error:
        ParquetSpec(path=str(tmp_path / "none"), fetch="hf download it").split("train")
    assert "hf download it" in error.value.fix
    assert str(tmp_path / "none") in error.value.what


def test_split_refuses_an_incomplete_set_of_files(folder):
    (folder / "train-00001-of-00002.parquet").unlink()
    assert "1 of the 2 files" in train_error(folder).what


@pytest.mark.parametrize("label", [3, -1, None])
def test_split_names_the_row_of_a_label_out_of_range(tmp_path, label):
    path = tmp_path / "train-0.parquet"
    write(path, IMAGES[:3], [0, label, 2])
    error = train_error(tmp_path)
    assert error.where == f"{path}: row 1"
    assert f"label {label} is outside 0..2" in error.what


@pytest.mark.parametrize(
    ("bad", "what"),
    [
        pytest.param(b"not an image", "cannot be decoded", id="garbage"),
        pytest.param(png(IMAGES[0])[:60], "cannot be decoded", id="truncated"),
        pytest.param(b"", "cannot be decoded", id="empty"),
        pytest.param(png(IMAGES[0, :3]), "image is 5x3, the first one 5x4", id="other size"),
        pytest.param(png(IMAGES[0, :, :, 0].astype(np.uint16)), "not 8 bits", id="16 bits"),
    ],
)
def test_split_names_the_row_of_a_bad_image(tmp_path, bad, what):
    path = tmp_path / "train-0.parquet"
    write(path, [IMAGES[0], IMAGES[1], bad], [0, 1, 2])
    error = train_error(tmp_path)
    assert error.where == f"{path}: row 2"
    assert what in error.what


def test_split_names_the_row_without_an_image(tmp_path):
    image_type = pa.struct([("bytes", pa.binary())])
    write(tmp_path / "train-0.parquet", IMAGES[:2], [0, 1])
    table = pq.read_table(tmp_path / "train-0.parquet")
    images = pa.array([{"bytes": png(IMAGES[0])}, None], image_type)
    pq.write_table(table.set_column(0, "img", images), tmp_path / "train-0.parquet")
    assert train_error(tmp_path).where.endswith("row 1")


@pytest.mark.parametrize(
    ("table", "what"),
    [
        pytest.param({"img": [b"x"], "text": ["a"]}, "has img, text", id="no label"),
        pytest.param({"pixels": [b"x"], "label": [0]}, "has pixels, label", id="no image"),
        pytest.param({"img": [b"x"], "label": [0]}, "not a struct", id="plain bytes"),
        pytest.param({"img": [{"bytes": b"x"}], "label": ["cat"]}, "not an integer", id="text labels"),
        pytest.param({"img": [], "label": []}, "zero rows", id="zero rows"),
    ],
)
def test_split_refuses_a_table_of_another_form(tmp_path, table, what):
    features = {"info": {"features": {"label": {"names": NAMES}}}}
    metadata = {"huggingface": json.dumps(features)}
    pq.write_table(pa.table(table).replace_schema_metadata(metadata), tmp_path / "train-0.parquet")
    error = train_error(tmp_path)
    assert what in error.what
    assert error.where == str(tmp_path / "train-0.parquet")


def test_split_refuses_a_file_without_class_names(tmp_path):
    table = pa.table({"img": [{"bytes": png(IMAGES[0])}], "label": [0]})
    pq.write_table(table, tmp_path / "train-0.parquet")
    assert "no class names" in train_error(tmp_path).what


def test_split_refuses_files_with_different_class_names(folder):
    write(folder / "test-00000-of-00001.parquet", IMAGES[10:], [2, 1], names=["dog", "cat", "eel"])
    with pytest.raises(DataError, match="not those of the first train file"):
        ParquetSpec(path=str(folder)).split("test")


def test_train_rows_are_unknown_where_a_file_is_not_parquet(tmp_path):
    (tmp_path / "train-0.parquet").write_bytes(b"no parquet")
    assert ParquetSpec(path=str(tmp_path)).train_rows() is None


def test_split_refuses_a_file_that_is_not_parquet(tmp_path):
    (tmp_path / "train-0.parquet").write_bytes(b"<html>not found</html>")
    assert "not a readable parquet file" in train_error(tmp_path).what


def test_split_refuses_to_leave_no_train_rows(folder):
    with pytest.raises(DataError, match="train has 10 rows"):
        ParquetSpec(path=str(folder), validation_samples=10).split("validation")


@pytest.mark.cifar10
@pytest.mark.skipif("EDGEKD_DATA" not in os.environ, reason="EDGEKD_DATA is not set")
def test_split_reads_cifar10():
    spec = ParquetSpec(path="$EDGEKD_DATA/cifar10")
    test = spec.split("test")
    assert test.images.shape == (10_000, 32, 32, 3)
    assert np.bincount(test.labels).tolist() == [1000] * 10
    assert spec.info().class_names[0] == "airplane"
