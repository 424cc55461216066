import subprocess
import sys
from pathlib import Path

import pytest

import edgekd


def test_all_is_sorted_and_complete() -> None:
    assert edgekd.__all__ == sorted(edgekd.__all__)
    assert set(edgekd.__all__) == {"calibrate", "export", "prepare", "verify"}


@pytest.mark.parametrize("name", edgekd.__all__)
def test_public_name_is_a_documented_function(name: str) -> None:
    function = getattr(edgekd, name)
    assert callable(function)
    assert function.__name__ == name
    assert f"{name}(" in (edgekd.__doc__ or "")
    assert "Args:" in function.__doc__


def test_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="'edgekd' has no attribute 'distil'"):
        _ = edgekd.distil


def test_version_is_that_of_the_package() -> None:
    text = (Path(__file__).parents[1] / "pyproject.toml").read_text()
    assert f'\nversion = "{edgekd.__version__}"\n' in text


def test_star_import_brings_all(tmp_path: Path) -> None:
    code = f"from edgekd import *; print(sorted(n for n in {edgekd.__all__} if n in dir()))"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == str(edgekd.__all__)
