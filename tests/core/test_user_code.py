import pytest

from edgekd.core import user_code
from edgekd.core.user_code import UserFunction, allow_user_code
from edgekd.errors import SpecError


@pytest.fixture
def allowed(monkeypatch):
    monkeypatch.setattr(user_code, "_ALLOWED", False)
    allow_user_code()


@pytest.fixture
def written(tmp_path):
    """Return a function that writes files and gives the hook to ``mine.py:build``."""

    def write(options=None, **files):
        for name, text in files.items():
            path = tmp_path / f"{name.replace('__in__', '/')}.py"
            path.parent.mkdir(exist_ok=True)
            path.write_text(text)
        return UserFunction(file=str(tmp_path / "mine.py"), function="build", options=options or {})

    return write


def test_nothing_is_imported_before_a_person_allows_it(written, tmp_path, monkeypatch):
    monkeypatch.setattr(user_code, "_ALLOWED", False)
    hook = written(mine=f"open({str(tmp_path / 'ran')!r}, 'w')\ndef build(): return 1\n")
    assert hook.digest
    with pytest.raises(SpecError, match="runs code of yours") as error:
        hook.load()
    assert "--allow-code" in error.value.fix
    assert not (tmp_path / "ran").exists()


def test_call_hands_over_options_and_arguments(written, allowed):
    hook = written({"b": 2}, mine="def build(a, b): return 10 * a + b\n")
    assert hook.call(a=1) == 12


def test_the_file_may_import_its_neighbours(written, allowed):
    hook = written(mine="from neighbour_a import X\ndef build(): return X\n", neighbour_a="X = 7\n")
    assert hook.call() == 7


def test_text_names_file_and_function():
    assert UserFunction.from_text("nets/mine.py:build") == {"file": "nets/mine.py", "function": "build"}
    with pytest.raises(ValueError, match="names no function"):
        UserFunction.from_text("mine.py")


def test_the_file_is_looked_for_beside_the_pipeline_file(tmp_path):
    (tmp_path / "mine.py").write_text("")
    given = {"file": "mine.py", "function": "build"}
    found = UserFunction.model_validate(given, context={"folder": tmp_path})
    assert found.file == str(tmp_path / "mine.py")
    with pytest.raises(ValueError, match="no such Python file"):
        UserFunction.model_validate({"file": "other.py", "function": "f"}, context={"folder": tmp_path})


IMPORTS = {
    "import": "import helper\n",
    "from": "from helper import x\n",
    "package": "import package.inner\n",
    "from package": "from package import inner\n",
    "relative": "from . import helper\n",
    "in a function": "def build():\n    import helper\n",
    "through another": "import middle\n",
}


@pytest.mark.parametrize("text", IMPORTS.values(), ids=IMPORTS)
def test_the_digest_knows_local_imports(written, text):
    files = {
        "mine": text,
        "helper": "x = 1\n",
        "middle": "import helper\n",
        "package__in____init__": "",
        "package__in__inner": "x = 1\n",
    }
    before = written(**files).digest
    assert written(**files).digest == before
    assert written(**{**files, "helper": "x = 2\n", "package__in__inner": "x = 2\n"}).digest != before


def test_the_digest_does_not_know_where_the_file_lies(written, tmp_path):
    before = written(mine="import helper\n", helper="")
    (tmp_path / "moved").mkdir()
    for name in ("mine.py", "helper.py"):
        (tmp_path / "moved" / name).write_bytes((tmp_path / name).read_bytes())
    moved = before.model_copy(update={"file": str(tmp_path / "moved" / "mine.py")})
    assert moved.digest == before.digest
    assert before.model_copy(update={"options": {"a": 1}}).digest != before.digest


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("def other(): pass\n", "has no function 'build'"),
        ("def build(:\n", "fails when it is imported: SyntaxError"),
        ("1 / 0\n", "fails when it is imported: ZeroDivisionError"),
    ],
)
def test_what_cannot_be_loaded_is_said(written, allowed, text, what):
    with pytest.raises(SpecError, match=what):
        written(mine=text).load()


def test_an_error_of_the_function_names_the_users_line(written, allowed):
    hook = written(mine="def build():\n    x = 1\n    return x / 0\n")
    with pytest.raises(SpecError, match="build raised ZeroDivisionError: division by zero") as error:
        hook.call()
    assert error.value.where.endswith("mine.py:3")


def test_two_folders_with_a_helper_of_one_name_are_refused(tmp_path, allowed):
    hooks = []
    for folder in ("first", "second"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "twin_helper.py").write_text(f"X = {folder!r}\n")
        (tmp_path / folder / "mine.py").write_text(
            "def build():\n    import twin_helper\n    return twin_helper.X\n"
        )
        hooks.append(UserFunction(file=str(tmp_path / folder / "mine.py"), function="build"))
    assert hooks[0].call() == "first"
    with pytest.raises(SpecError, match=r"first/twin_helper\.py, not .*second/twin_helper\.py") as error:
        hooks[1].call()
    assert "another name" in error.value.fix
    assert hooks[0].call() == "first"


def test_a_helper_that_hides_behind_a_known_module_is_refused(written, allowed):
    with pytest.raises(SpecError, match="same name"):
        written(mine="import json\ndef build(): return json.X\n", json="X = 1\n").load()


def test_an_import_that_the_digest_cannot_see_is_refused(written, allowed):
    text = "import importlib\ndef build(): return importlib.import_module('hidden_helper').X\n"
    with pytest.raises(SpecError, match=r"hidden_helper\.py is imported, but by no import statement"):
        written(mine=text, hidden_helper="X = 1\n").call()
