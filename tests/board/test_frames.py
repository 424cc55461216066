"""Frames: what one side writes the other reads; whatever else arrives is an error, never a surprise."""

import contextlib
import io
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgekd.board.frames import MOST_OTHER_TEXT, PREFIX, FrameError, read_frame, write_frame

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
HEADERS = st.dictionaries(st.text().filter(lambda name: name != "blobs"), JSON, max_size=3)
BLOBS = st.dictionaries(st.text(), st.binary(max_size=64), max_size=3)


@given(st.lists(st.tuples(HEADERS, BLOBS), max_size=3))
def test_frames_come_back_in_order(frames) -> None:
    stream = io.BytesIO()
    for header, blobs in frames:
        write_frame(stream, header, blobs)
    stream.seek(0)
    assert [read_frame(stream) for _ in frames] == frames
    assert read_frame(stream) is None


@given(st.binary(max_size=300) | st.binary(max_size=300).map(lambda junk: PREFIX + junk))
def test_anything_else_is_an_error_or_nothing(junk) -> None:
    try:
        found = read_frame(io.BytesIO(junk))
    except FrameError:
        return
    assert found is None or isinstance(found[0], dict)


@given(JSON)
def test_any_header_is_a_frame_or_an_error(header) -> None:
    stream = io.BytesIO(PREFIX + json.dumps({"blobs": header}).encode() + b"\n")
    with contextlib.suppress(FrameError):
        read_frame(stream)


@given(
    HEADERS, st.dictionaries(st.text(), st.binary(min_size=1, max_size=64), min_size=1, max_size=3), st.data()
)
def test_a_stream_that_ends_within_a_frame_is_an_error(header, blobs, data) -> None:
    stream = io.BytesIO()
    write_frame(stream, header, blobs)
    whole = stream.getvalue()
    cut = data.draw(st.integers(len(PREFIX), len(whole) - 1))
    with pytest.raises(FrameError):
        read_frame(io.BytesIO(whole[:cut]))


def test_text_before_the_first_frame_is_skipped_up_to_a_limit() -> None:
    stream = io.BytesIO()
    stream.write("Welcome to the board ☃\nlast login: today\n".encode())
    write_frame(stream, {"done": {}})
    stream.seek(0)
    assert read_frame(stream) == ({"done": {}}, {})
    with pytest.raises(FrameError, match="too much text"):
        read_frame(io.BytesIO(b"x" * (MOST_OTHER_TEXT + 1)))


@pytest.mark.parametrize(
    "blobs",
    [
        [["a", 2**33]],
        [["a", -1]],
        [["a", 0]] * 5000,
        [["a", 2**31], ["b", 2**31 + 1]],
        [["a", 1e999]],
        3,
        {"ab": 1},
    ],
)
def test_a_frame_larger_than_frames_may_be_is_refused_before_it_is_read(blobs) -> None:
    with pytest.raises(FrameError):
        read_frame(io.BytesIO(PREFIX + json.dumps({"blobs": blobs}).encode() + b"\n" + bytes(100)))
