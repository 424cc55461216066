from pathlib import Path

import pytest

from edgekd.data.paths import expand_data_path
from edgekd.errors import DataError


def test_expand_data_path_expands_the_data_folder_and_home(monkeypatch):
    monkeypatch.setenv("EDGEKD_DATA", "/d")
    assert expand_data_path("$EDGEKD_DATA/cifar10") == Path("/d/cifar10")
    assert expand_data_path("$EDGEKD_DATA") == Path("/d")
    assert expand_data_path("~/x") == Path.home() / "x"


def test_expand_data_path_leaves_everything_else_alone(monkeypatch):
    monkeypatch.setenv("EDGEKD_DATA", "/d")
    for text in ("$HOME/x", "a/$EDGEKD_DATA", "a~/b", "/abs", "$EDGEKD_DATA_OLD/x"):
        assert expand_data_path(text) == Path(text)


@pytest.mark.parametrize("value", [None, ""])
def test_expand_data_path_says_that_the_variable_is_unset(monkeypatch, value):
    monkeypatch.delenv("EDGEKD_DATA", raising=False)
    if value is not None:
        monkeypatch.setenv("EDGEKD_DATA", value)
    with pytest.raises(DataError, match="EDGEKD_DATA is not set"):
        expand_data_path("$EDGEKD_DATA/cifar10")
