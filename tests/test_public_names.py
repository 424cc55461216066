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


@pytest.mark.parametrize("name", edgekd.__all__)
def test_public_name_stays_the_function_when_its_package_is_imported(name: str, tmp_path: Path) -> None:
    code = f"""
import edgekd, edgekd.pipeline, edgekd.verify.verify, edgekd.export.export
from edgekd import *
assert {name} is edgekd.{name} is getattr(edgekd, "{name}")
assert callable({name})
"""
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_public_name_is_the_same_function_the_second_time(tmp_path: Path) -> None:
    code = "import edgekd; [callable(getattr(edgekd, n)) or exit(n) for n in edgekd.__all__ * 2]"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
