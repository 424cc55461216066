import errno
import hashlib
import json
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from edgekd.core.atomic import check_writable, file_sha256, write_bytes, write_json, write_text


@contextmanager
def _largest_file(size_bytes: int) -> Iterator[None]:
    """As a full disk: the kernel refuses to write more into one file."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_write_bytes_replaces_the_whole_file(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    write_bytes(path, b"a long first content")
    write_bytes(path, b"new")
    assert path.read_bytes() == b"new"
    assert list(tmp_path.iterdir()) == [path]


def test_write_bytes_keeps_the_old_file_when_the_disk_is_full(tmp_path: Path) -> None:
    path = tmp_path / "report.json"
    path.write_bytes(b"old")
    with _largest_file(1 << 20), pytest.raises(OSError) as caught:
        write_bytes(path, bytes(2 << 20))
    assert caught.value.errno == errno.EFBIG
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_write_bytes_leaves_no_temporary_file_when_the_target_is_a_folder(tmp_path: Path) -> None:
    (tmp_path / "taken").mkdir()
    with pytest.raises(IsADirectoryError):
        write_bytes(tmp_path / "taken", b"new")
    assert [path.name for path in tmp_path.iterdir()] == ["taken"]


def test_write_text_writes_utf8(tmp_path: Path) -> None:
    write_text(tmp_path / "labels.txt", "chat, köter\n")
    assert (tmp_path / "labels.txt").read_bytes() == b"chat, k\xc3\xb6ter\n"


def test_write_json_round_trips_and_keeps_the_order(tmp_path: Path) -> None:
    value = {"p90_ms": 0.1, "classes": ["b", "a"], "none": None}
    write_json(tmp_path / "a.json", value)
    text = (tmp_path / "a.json").read_text()
    assert json.loads(text) == value
    assert list(json.loads(text)) == ["p90_ms", "classes", "none"]


def test_write_json_refuses_nan_and_keeps_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    write_json(path, {"top1": 0.5})
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(path, {"top1": float("nan")})
    assert json.loads(path.read_text()) == {"top1": 0.5}


def test_file_sha256_equals_hashlib_on_a_file_of_several_buffers(tmp_path: Path) -> None:
    content = bytes(range(256)) * 4096
    (tmp_path / "a.bin").write_bytes(content)
    assert file_sha256(tmp_path / "a.bin") == hashlib.sha256(content).hexdigest()


def test_folder_that_refuses_files_is_found_and_nothing_is_left_in_others(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="/proc"):
        check_writable(Path("/proc/runs/mine"))
    check_writable(tmp_path / "runs" / "mine")
    assert not list(tmp_path.iterdir())
