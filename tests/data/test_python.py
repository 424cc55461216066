import pytest

from edgekd.core import user_code
from edgekd.data.python import PythonDataSpec
from edgekd.errors import DataError, SpecError

SOURCE = """
import numpy as np

def load(split, n=12, shift=0):
    if split == "validation":
        return None
    images = np.arange(n * 4, dtype=np.uint8).reshape(n, 2, 2, 1)
    return images, np.arange(n) % 3 + shift
"""

pytestmark = pytest.mark.usefixtures("store")


@pytest.fixture
def allowed(monkeypatch):
    monkeypatch.setattr(user_code, "_ALLOWED", True)


def spec(tmp_path, *, source=SOURCE, options=None, **fields):
    (tmp_path / "mine.py").write_text(source)
    given = {"height": 2, "width": 2, "color_order": "L", "class_names": ["a", "b", "c"], **fields}
    code = {"file": "mine.py", "function": "load", "options": options or {}}
    return PythonDataSpec.model_validate({"code": code, **given}, context={"folder": tmp_path})


def test_function_gives_the_splits(tmp_path, allowed):
    data = spec(tmp_path, validation_fraction=0.25)
    assert [len(data.split(name)) for name in ("train", "validation", "test")] == [9, 3, 12]
    assert data.split("test").images[1, 0, 1, 0] == 5


def test_planning_runs_no_code(tmp_path):
    data = spec(tmp_path)
    assert data.info().class_names == ("a", "b", "c")
    assert len(data.digest) == 64
    assert data.train_rows() is None
    with pytest.raises(SpecError, match="runs code of yours"):
        data.split("train")


def test_digest_moves_with_code_options_and_files(tmp_path):
    (tmp_path / "table.csv").write_text("1")
    data = spec(tmp_path, files=["table.csv"])
    digests = {data.digest, spec(tmp_path).digest, spec(tmp_path, options={"n": 15}).digest}
    digests.add(spec(tmp_path, source=SOURCE + "\n# more").digest)
    (tmp_path / "table.csv").write_text("22")
    digests.add(spec(tmp_path, files=["table.csv"]).digest)
    assert len(digests) == 5


@pytest.mark.parametrize(
    ("source", "fields", "says"),
    [
        ("def load(split): return None", {}, "returns None for split='train'"),
        ("def load(split): return 3", {}, "returns int, not two arrays"),
        (SOURCE, {"height": 3}, "returns images of shape (2, 2, 1), the pipeline file says (3, 2, 1)"),
        (SOURCE, {"class_names": ["a", "b"]}, "label 2 of row 2 is outside 0..1 (4 such rows)"),
        (SOURCE, {"options": {"shift": -1}}, "label -1 of row 0"),
    ],
)
def test_what_is_wrong_with_the_result_is_said(tmp_path, allowed, source, fields, says):
    with pytest.raises(DataError) as error:
        spec(tmp_path, source=source, **fields).split("train")
    assert says in error.value.what
    assert error.value.where
    assert error.value.fix
