import pytest

from edgekd.core.optional import require
from edgekd.errors import RuntimeMissing


def test_require_returns_the_submodule():
    assert require("os.path", package="os", extra="train").join("a", "b") == "a/b"


def test_require_names_the_pip_line_when_the_package_is_absent():
    with pytest.raises(RuntimeMissing) as error:
        require("no_such_package.part", package="no-such-package", extra="search")
    assert "no-such-package" in error.value.what
    assert error.value.fix == "pip install 'edgekd[search]'"


def test_require_says_when_a_package_was_built_for_another(tmp_path, monkeypatch):
    (tmp_path / "built_for_another.py").write_text("raise RuntimeError('operator x::y does not exist')")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(RuntimeMissing, match="fails when it is imported: operator x::y") as error:
        require("built_for_another", package="built-for-another", extra="timm")
    assert "belong together" in error.value.fix
