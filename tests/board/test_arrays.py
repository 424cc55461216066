import io
import pickle

import numpy as np
import pytest

from edgekd.board.arrays import pack, unpack


def test_arrays_come_back_bit_by_bit_under_any_name() -> None:
    given = {
        "a/b c☃": np.array([[1.5, np.nan], [-0.0, np.inf]], np.float32),
        "": np.array(7, np.int64),
        "labels": np.zeros((0, 3), np.uint8),
    }
    found = unpack(pack(given))
    assert list(found) == list(given)
    for name, value in given.items():
        assert (found[name].dtype, found[name].shape) == (value.dtype, value.shape)
        assert found[name].tobytes() == value.tobytes()
    assert unpack(pack({})) == {}


class Harmful:
    def __reduce__(self):
        return pytest.fail, ("it was unpickled",)


def test_nothing_is_unpickled() -> None:
    buffer = io.BytesIO()
    np.savez(buffer, labels=np.array(["x"]), a0=np.array([Harmful()], object))
    with pytest.raises(ValueError, match=r"[Oo]bject arrays"):
        unpack(buffer.getvalue())
    with pytest.raises(ValueError, match="pickle"):
        unpack(pickle.dumps([1, 2, 3]))


@pytest.mark.parametrize("junk", [b"", b"PK\x03\x04", b"x" * 99, pack({"a": np.zeros(9)})[:-30]])
def test_what_is_no_archive_is_told(junk) -> None:
    with pytest.raises(ValueError):
        unpack(junk)


def test_an_archive_without_labels_is_none() -> None:
    buffer = io.BytesIO()
    np.savez(buffer, a0=np.zeros(3))
    with pytest.raises(ValueError, match="not an archive of arrays"):
        unpack(buffer.getvalue())


def _npy() -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, np.zeros(3))
    return buffer.getvalue()


def _archive(labels: object, *, compressed: bool = False) -> bytes:
    buffer = io.BytesIO()
    (np.savez_compressed if compressed else np.savez)(buffer, labels=labels, a0=np.zeros(1 << 20))
    return buffer.getvalue()


@pytest.mark.parametrize("hostile", [_npy(), _archive("x"), _archive(["a"], compressed=True)])
def test_what_numpy_reads_but_pack_never_writes_is_told(hostile) -> None:
    with pytest.raises(ValueError, match="not an archive of arrays"):
        unpack(hostile)
