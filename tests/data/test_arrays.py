import pickle

import numpy as np
import pytest

from edgekd.data.arrays import ArraysSpec
from edgekd.data.dataset import StreamedImages
from edgekd.errors import DataError

RNG = np.random.default_rng(0)
X = RNG.integers(0, 256, (20, 6, 5, 3), dtype=np.uint8)
Y = np.arange(20) % 4
GOOD = {"x_train": X, "y_train": Y, "x_test": X[:8], "y_test": Y[:8]}

pytestmark = pytest.mark.usefixtures("store")


@pytest.fixture(params=["npz", "npy"])
def write(request, tmp_path):
    def write(**arrays):
        if request.param == "npz":
            np.savez(tmp_path / "data.npz", **arrays)
            return str(tmp_path / "data.npz")
        (tmp_path / "data").mkdir()
        for name, array in arrays.items():
            np.save(tmp_path / "data" / f"{name}.npy", array)
        return str(tmp_path / "data")

    return write


def complaint(path, **options):
    with pytest.raises(DataError) as error:
        data = ArraysSpec(path=path, **options)
        data.info()
        data.split("train")
    assert error.value.where
    assert error.value.fix
    return error.value


@pytest.mark.parametrize("memory_bytes", [None, 0])
def test_splits_are_those_of_the_arrays(write, memory_bytes):
    data = ArraysSpec(path=write(**GOOD, x_val=X[8:12], y_val=Y[8:12]), memory_bytes=memory_bytes)
    assert isinstance(data.split("train").images, StreamedImages) == (memory_bytes == 0)
    np.testing.assert_array_equal(data.split("train").images[:], X)
    np.testing.assert_array_equal(data.split("validation").images[:], X[8:12])
    assert data.split("test").labels.tolist() == Y[:8].tolist()
    assert data.info().class_names == ("0", "1", "2", "3")


def test_missing_splits_are_taken_out_of_train(write):
    data = ArraysSpec(path=write(x_train=X, y_train=Y), test_fraction=0.4, validation_fraction=0.34)
    assert data.train_rows() == 8
    # 5 rows per class: 2 are test, a third of the other 3 is 1
    counts = {name: np.bincount(data.split(name).labels).tolist() for name in ("train", "validation", "test")}
    assert counts == {"train": [2] * 4, "validation": [1] * 4, "test": [2] * 4}
    rows = [image.tobytes() for name in counts for image in data.split(name).images[:]]
    assert sorted(rows) == sorted(image.tobytes() for image in X)


def test_grey_images_may_come_without_channels(write):
    data = ArraysSpec(path=write(x_train=X[..., 0], y_train=Y[:, None].astype(np.uint8)))
    assert (data.info().channels, data.info().color_order) == (1, "L")
    assert data.split("train").images.shape[1:] == (6, 5, 1)


def test_float_labels_are_outputs(write):
    data = ArraysSpec(path=write(x_train=X, y_train=RNG.random((20, 2))), class_names=("x", "y"))
    assert data.info().class_names == ("x", "y")
    assert data.split("train").labels.dtype == np.float32
    assert "2 numbers each, but 1 outputs have names" in complaint(data.path, class_names=("x",)).what


def test_digest_is_that_of_the_contents(write):
    path = write(**GOOD)
    before = ArraysSpec(path=path).digest
    assert ArraysSpec(path=path, memory_bytes=0).digest == before
    assert ArraysSpec(path=path, class_names=("a", "b", "c", "d")).digest != before


NAN = np.where(np.arange(20) == 7, np.nan, 0.5)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"x_train": X / 255}, "float64, not raw pixels"),
        ({"x_train": X.astype(np.int64)}, "int64, not raw pixels"),
        ({"x_train": X.transpose(0, 3, 1, 2)}, "have the shape (20, 3, 6, 5)"),
        ({"x_train": X[:0], "y_train": Y[:0]}, "nothing is in them"),
        ({"x_train": X[:19]}, "19 images, but labels of shape (20,)"),
        ({"y_train": NAN}, "the label of row 7 is not a finite number (1 such rows)"),
        ({"y_train": np.array(["a"] * 20)}, "labels are <U1"),
        ({"y_train": Y - 1}, "label -1 of row 0 is outside 0..2 (5 such rows)"),
        ({"y_train": Y * 0 + 1, "y_test": Y[:8] * 0}, "all 18 train images are of one class: 1"),
        ({"x_test": X[:8, :3]}, "test images are (3, 5, 3), train images are (6, 5, 3)"),
        ({"y_test": Y[:8] + 1}, "label 4 of row 3 is outside 0..3"),
    ],
)  # fmt: skip
def test_bad_arrays_are_explained(write, change, says):
    assert says in complaint(write(**{**GOOD, **change})).what


@pytest.mark.parametrize("missing", ["x_train", "y_train", "y_test"])
def test_missing_array_is_named(write, missing):
    error = complaint(write(**{name: array for name, array in GOOD.items() if name != missing}))
    assert f"no array '{missing}'" in error.what


def test_pickles_are_not_read(write, tmp_path):
    class Run:
        def __reduce__(self):
            return (tmp_path.joinpath("ran").touch, ())

    assert "objects" in complaint(write(x_train=np.array([Run()] * 2), y_train=Y[:2])).fix
    (tmp_path / "other.npz").write_bytes(pickle.dumps(Run()))
    assert "not readable" in complaint(str(tmp_path / "other.npz")).what
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("name", ["none.npz", "none", "empty"])
def test_missing_files_are_explained(tmp_path, name):
    (tmp_path / "empty").mkdir()
    assert name in complaint(str(tmp_path / name)).what
