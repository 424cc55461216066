import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from edgekd.data.dataset import StreamedImages
from edgekd.data.image_folder import ImageFolderSpec
from edgekd.errors import DataError

SIZE = {"height": 16, "width": 16}


def spec(folder: Path, **options) -> ImageFolderSpec:
    return ImageFolderSpec(path=str(folder), **{**SIZE, **options})


def complaint(folder: Path, **options) -> DataError:
    data = spec(folder, **options)
    with pytest.raises(DataError) as error:
        data.info()
        data.split("train")
    assert error.value.where
    assert error.value.fix
    return error.value


def test_one_folder_is_split_class_by_class(photos):
    data = spec(photos, test_fraction=0.25, validation_fraction=0.25)
    assert data.train_rows() == 14
    # 12, 8, 6 images: a quarter is 3, 2, 2 (1.5 rounds to the even 2); of 9, 6, 4 a quarter is 2, 2, 1
    assert np.bincount(data.split("test").labels).tolist() == [3, 2, 2]
    assert np.bincount(data.split("validation").labels).tolist() == [2, 2, 1]
    assert np.bincount(data.split("train").labels).tolist() == [7, 4, 3]
    assert data.split("train") is data.split("train")


def test_train_rows_are_counted_without_decoding(photos):
    (photos / "blue" / "00.jpg").write_bytes(b"damaged")
    assert spec(photos, test_fraction=0.25, validation_fraction=0).train_rows() == 26 - 3 - 2 - 2


def test_pixels_belong_to_their_labels(photos):
    data = spec(photos)
    assert data.info().class_names == ("blue", "green", "red")
    for name in ("train", "validation", "test"):
        split = data.split(name)
        brightest = (
            split.images.reshape(len(split), -1, 3).mean(axis=1).argmax(axis=1)
        )  # 0 red, 1 green, 2 blue
        assert (2 - brightest).tolist() == split.labels.tolist()


def test_folders_of_splits_are_taken_as_they_are(photos, tmp_path):
    for name in ("train", "val", "test"):
        shutil.copytree(photos, tmp_path / "divided" / name)
    shutil.rmtree(tmp_path / "divided" / "test" / "red")
    data = spec(tmp_path / "divided")
    assert data.train_rows() == 26
    assert [len(data.split(name)) for name in ("train", "validation", "test")] == [26, 26, 20]
    assert data.info().class_names == ("blue", "green", "red")


def test_missing_split_folders_are_taken_out_of_train(photos, tmp_path):
    shutil.copytree(photos, tmp_path / "divided" / "train")
    shutil.copytree(photos, tmp_path / "divided" / "test")
    data = spec(tmp_path / "divided", validation_fraction=0.5)
    assert [len(data.split(name)) for name in ("train", "validation", "test")] == [13, 13, 26]


def test_crop_takes_the_largest_centred_area(tmp_path, store):
    pixels = np.zeros((4, 12, 3), np.uint8)
    pixels[:, 4:8] = 200  # the centred square
    for name in ("a", "b"):
        (tmp_path / "wide" / name).mkdir(parents=True)
        for i in range(4):
            Image.fromarray(pixels).save(tmp_path / "wide" / name / f"{i}.png")
    cropped = spec(tmp_path / "wide", height=4, width=4).split("train").images
    assert (cropped == 200).all()
    stretched = spec(tmp_path / "wide", height=4, width=4, resize="stretch").split("train").images
    assert stretched[0, 0, 0, 0] == 0
    assert "is 12x4, not 4x4" in complaint(tmp_path / "wide", height=4, width=4, resize="none").what


def test_info_says_what_the_engine_needs_to_be_fed(photos):
    info = spec(photos, color_order="L", resize="stretch").info()
    assert (info.height, info.width, info.channels, info.color_order) == (16, 16, 1, "L")
    assert info.resize == "stretch, bilinear"
    assert spec(photos, color_order="L").split("train").images.shape[1:] == (16, 16, 1)


def test_streamed_images_are_the_decoded_ones(photos):
    kept, streamed = spec(photos).split("train"), spec(photos, memory_bytes=0).split("train")
    assert isinstance(kept.images, np.ndarray)
    assert isinstance(streamed.images, StreamedImages)
    assert (streamed.images.shape, streamed.images.dtype) == (kept.images.shape, np.uint8)
    rows = np.array([5, 0, 3])
    np.testing.assert_array_equal(streamed.images[rows], kept.images[rows])
    np.testing.assert_array_equal(streamed.images[2:7], kept.images[2:7])
    np.testing.assert_array_equal(streamed.images[4], kept.images[4])
    np.testing.assert_array_equal(streamed.take(rows).images[:], kept.images[rows])
    assert streamed.labels.tolist() == kept.labels.tolist()


def test_digest_is_that_of_names_contents_and_options(photos, tmp_path):
    before = spec(photos).digest
    shutil.copytree(photos, tmp_path / "copy")
    assert spec(tmp_path / "copy", memory_bytes=1).digest == before
    assert spec(photos, height=8).digest != before
    (tmp_path / "copy" / "red" / "00.jpg").rename(tmp_path / "copy" / "red" / "99.jpg")
    assert spec(tmp_path / "copy").digest != before
    shutil.copyfile(photos / "red" / "00.jpg", photos / "red" / "01.png")
    assert spec(photos).digest != before


def test_digest_is_remembered_by_size_and_time_of_change(photos, store):
    for path in photos.rglob("*.*"):
        os.utime(path, ns=(10**18, 10**18))
    before = spec(photos).digest
    (memory,) = (store / "fingerprints").iterdir()
    remembered = memory.read_text()
    sha256 = remembered.split('"')[-2]
    memory.write_text(remembered.replace(sha256, "f" * 64))
    os.utime(
        photos / "blue" / "00.jpg", ns=(2 * 10**18, 2 * 10**18)
    )  # another key, so that it is asked again
    assert spec(photos).digest != before  # the sha256 that was remembered is believed, the file is not read
    memory.write_text("damaged")
    os.utime(photos / "blue" / "00.jpg", ns=(10**18 + 1, 10**18 + 1))
    assert spec(photos).digest == before


def test_files_of_other_kinds_and_hidden_ones_are_left_alone(photos):
    (photos / "blue" / "notes.txt").write_text("x")
    (photos / "blue" / "._00.jpg").write_bytes(b"x")
    (photos / ".git").mkdir()
    (photos / "__MACOSX").mkdir()
    (photos / "README.md").write_text("x")
    assert sum(len(spec(photos).split(name)) for name in ("train", "validation", "test")) == 26


def test_links_are_followed_and_broken_ones_named(photos, tmp_path):
    shutil.move(photos / "red", tmp_path / "elsewhere")
    (photos / "red").symlink_to(tmp_path / "elsewhere")
    (photos / "blue" / "link.jpg").symlink_to(tmp_path / "elsewhere" / "00.jpg")
    assert sum(len(spec(photos).split(name)) for name in ("train", "validation", "test")) == 27
    (photos / "blue" / "broken.jpg").symlink_to(tmp_path / "nowhere.jpg")
    error = complaint(photos)
    assert error.where == str(photos / "blue" / "broken.jpg")
    assert "symbolic link to nowhere" in error.what


@pytest.mark.parametrize("memory_bytes", [None, 0], ids=["kept", "streamed"])
def test_damaged_images_are_named_before_any_work(photos, memory_bytes):
    whole = (photos / "blue" / "00.jpg").read_bytes()
    (photos / "blue" / "00.jpg").write_bytes(whole[: len(whole) // 2])
    (photos / "red" / "01.png").write_bytes(b"<html>")
    (photos / "red" / "02.bmp").write_bytes(b"")
    error = complaint(photos, memory_bytes=memory_bytes)
    assert error.where == str(photos / "blue" / "00.jpg")
    assert "cannot be decoded" in error.what
    assert "2 more" in error.what
    assert "01.png" in error.what


def _empty(folder):
    shutil.rmtree(folder / "green")
    (folder / "green").mkdir()


def _only_gifs(folder):
    _empty(folder)
    Image.new("L", (8, 8)).save(folder / "green" / "x.gif")


def _one_class(folder):
    shutil.rmtree(folder / "green")
    shutil.rmtree(folder / "red")


def _no_class(folder):
    _one_class(folder)
    shutil.rmtree(folder / "blue")
    (folder / "loose.jpg").write_bytes(b"")


def _unknown_class(folder):
    shutil.copytree(folder, folder / "train")
    shutil.copytree(folder / "blue", folder / "test" / "zebra")


def _no_train(folder):
    shutil.copytree(folder / "red", folder / "test" / "red")


def _upper_case_train(folder):
    shutil.copytree(folder, folder / "Train")
    shutil.copytree(folder / "red", folder / "val" / "red")


def _upper_case_validation(folder):
    shutil.copytree(folder, folder / "train")
    shutil.copytree(folder / "red", folder / "Validation" / "red")


def _sixteen_bits(folder):
    Image.fromarray(np.full((9, 9), 3000, np.uint16)).save(folder / "red" / "deep.png")


def _animation(folder):
    frames = [Image.new("RGB", (9, 9), (i, 0, 0)) for i in (0, 90)]
    frames[0].save(folder / "red" / "moves.webp", save_all=True, append_images=frames[1:])


@pytest.mark.parametrize(
    ("spoil", "says", "where"),
    [
        (shutil.rmtree, "no such folder", ""),
        (_empty, "has no image", "green"),
        (_only_gifs, "has no image, only x.gif", "green"),
        (_one_class, "only one class: blue", ""),
        (_no_class, "no class folder", ""),
        (_unknown_class, "class 'zebra' has no folder in train/", "test/zebra"),
        (_no_train, "test/ is called like a split, but is not read as one: there is no train/", "test"),
        (_upper_case_train, "Train/ is called like a split, but is not read as one: split folders", "Train"),
        (_upper_case_validation, "Validation/ is called like a split", "Validation"),
        (_sixteen_bits, "not 8 bits per channel", "red/deep.png"),
        (_animation, "an animation of 2 frames", "red/moves.webp"),
    ],
)
def test_bad_folders_are_explained(photos, spoil, says, where):
    spoil(photos)
    error = complaint(photos)
    assert says in error.what
    assert where in error.where


def test_no_test_split_is_an_error(photos):
    assert "the test split has no images" in complaint(photos, test_fraction=0).what


def test_unset_variable_is_explained(monkeypatch):
    monkeypatch.delenv("EDGEKD_DATA", raising=False)
    assert "EDGEKD_DATA is not set" in complaint(Path("$EDGEKD_DATA/photos")).what
