import json
import os
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from edgekd.data.dataset import DataInfo, DataSpec, Split
from edgekd.data.digits import DigitsSpec
from edgekd.data.manifest import (
    class_balance,
    first_difference,
    load_calibration,
    read_manifest,
    write_manifest,
)
from edgekd.data.parquet import ParquetSpec
from edgekd.errors import DataError

CALIBRATION = Path(__file__).parents[2] / "calibration"


class UnbalancedSpec(DataSpec):
    kind: str = "unbalanced"

    def info(self):
        return DataInfo(("a", "b", "c"), 1, 1, 1, "L", "none")

    def split(self, name):
        labels = np.repeat([0, 1, 2], [20, 3, 20])
        return Split(np.arange(43, dtype=np.uint8).reshape(43, 1, 1, 1), labels)


@pytest.fixture
def manifest(tmp_path):
    path = tmp_path / "digits.json"
    write_manifest(path, DigitsSpec(), samples=25, seed=0)
    return path


def test_load_calibration_returns_the_chosen_train_images(manifest):
    images = load_calibration(manifest, DigitsSpec())
    assert images.shape == (25, 32, 32, 1)
    rows = [int(row) for row in json.loads(manifest.read_text())["samples"]]
    assert rows == sorted(set(rows))
    np.testing.assert_array_equal(images, DigitsSpec().split("train").images[rows])


def test_write_manifest_balances_the_classes(manifest):
    rows = [int(row) for row in json.loads(manifest.read_text())["samples"]]
    counts = np.bincount(DigitsSpec().split("train").labels[rows], minlength=10)
    assert sorted(counts.tolist()) == [2] * 5 + [3] * 5


def test_write_manifest_takes_all_of_a_small_class(tmp_path):
    write_manifest(tmp_path / "m.json", UnbalancedSpec(), samples=21, seed=0)
    images = load_calibration(tmp_path / "m.json", UnbalancedSpec())
    labels = np.digitize(images.ravel(), [20, 23])
    assert np.bincount(labels).tolist() == [9, 3, 9]


def test_write_manifest_depends_on_the_seed_alone(manifest, tmp_path):
    write_manifest(tmp_path / "again.json", DigitsSpec(), samples=25, seed=0)
    write_manifest(tmp_path / "other.json", DigitsSpec(), samples=25, seed=1)
    assert (tmp_path / "again.json").read_text() == manifest.read_text()
    assert (tmp_path / "other.json").read_text() != manifest.read_text()


@pytest.mark.parametrize("samples", [0, 100_000])
def test_write_manifest_refuses_a_count_that_the_data_does_not_have(tmp_path, samples):
    with pytest.raises(DataError, match=f"cannot choose {samples} samples: the train split has 1211 images"):
        write_manifest(tmp_path / "m.json", DigitsSpec(), samples=samples, seed=0)


def test_load_calibration_refuses_images_of_another_size(manifest):
    with pytest.raises(DataError, match=r"but the data is digits \(16, 16, 1\)"):
        load_calibration(manifest, DigitsSpec(image_size=16))


def test_load_calibration_refuses_changed_pixels(manifest):
    class Changed(DigitsSpec):
        def split(self, name):
            images = super().split(name).images.copy()
            row = int(next(iter(json.loads(manifest.read_text())["samples"])))
            images[row, 0, 0, 0] ^= 1
            return Split(images, super().split(name).labels)

    with pytest.raises(DataError, match="1 of 25 images have changed") as error:
        load_calibration(manifest, Changed())
    assert "write a new manifest" in error.value.fix


def test_load_calibration_refuses_other_preprocessing(manifest):
    class Stretched(DigitsSpec):
        def info(self):
            return replace(super().info(), resize="stretch")

    with pytest.raises(DataError, match="made for other preprocessing than now: resize 'stretch', colours L"):
        load_calibration(manifest, Stretched())


def test_first_difference_compares_the_class_balance(tmp_path):
    class Relabelled(UnbalancedSpec):
        def split(self, name):
            return Split(super().split(name).images, np.repeat([0, 1, 2], [20, 20, 3]))

    found = write_manifest(tmp_path / "m.json", UnbalancedSpec(), samples=21, seed=0)
    assert found.class_counts == {0: 9, 1: 3, 2: 9}
    assert class_balance(found, UnbalancedSpec()) == {"a": 9, "b": 3, "c": 9}
    assert first_difference(found, UnbalancedSpec()) == ""
    says = r"labels have changed: samples by class were \{0: 9, 1: 3, 2: 9\}, now \{0: 9, 1: \d+"
    assert re.match(says, first_difference(found, Relabelled()))


def test_write_manifest_draws_at_random_where_labels_are_no_classes(tmp_path):
    class Numbers(UnbalancedSpec):
        def split(self, name):
            return Split(super().split(name).images, np.zeros((43, 2), np.float32))

    found = write_manifest(tmp_path / "new" / "m.json", Numbers(), samples=5, seed=0)
    assert len(found.samples) == 5
    assert found.class_counts is None
    assert class_balance(found, Numbers()) == {}
    assert len(load_calibration(tmp_path / "new" / "m.json", Numbers())) == 5


def test_manifests_of_older_versions_keep_their_identity():
    """The store knows a calibration by this digest: a field that a file does not have must not change it."""
    found = read_manifest(CALIBRATION / "digits_256.json")
    assert (found.preprocess, found.class_counts) == (None, None)
    assert found.sha256 == found.content_sha256()
    assert sum(class_balance(found, DigitsSpec()).values()) == 256


def test_load_calibration_refuses_rows_that_the_data_does_not_have(manifest):
    class Short(DigitsSpec):
        def split(self, name):
            return super().split(name).take(np.arange(10))

    with pytest.raises(DataError, match="images have changed"):
        load_calibration(manifest, Short())


def test_load_calibration_refuses_a_manifest_that_was_edited(manifest):
    content = json.loads(manifest.read_text())
    content["samples"].popitem()
    manifest.write_text(json.dumps(content))
    with pytest.raises(DataError, match="changed after it was written"):
        load_calibration(manifest, DigitsSpec())


def test_load_calibration_refuses_another_file(tmp_path):
    (tmp_path / "m.json").write_text('{"samples": ')
    with pytest.raises(DataError, match="not a calibration manifest"):
        load_calibration(tmp_path / "m.json", DigitsSpec())
    with pytest.raises(DataError, match="cannot be read"):
        load_calibration(tmp_path / "none.json", DigitsSpec())


def test_shipped_digits_manifest_loads():
    assert load_calibration(CALIBRATION / "digits_256.json", DigitsSpec()).shape == (256, 32, 32, 1)


@pytest.mark.cifar10
@pytest.mark.skipif("EDGEKD_DATA" not in os.environ, reason="EDGEKD_DATA is not set")
def test_shipped_cifar10_manifest_loads():
    data = ParquetSpec(path="$EDGEKD_DATA/cifar10")
    assert load_calibration(CALIBRATION / "cifar10_256.json", data).shape == (256, 32, 32, 3)
