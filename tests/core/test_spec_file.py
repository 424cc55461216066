"""Reading specs with a toy union; what real pipeline files are told is in ``tests/test_spec.py``."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import pytest
from pydantic import Field, ValidationInfo, field_validator, model_validator

from edgekd.core.spec_base import Spec
from edgekd.core.spec_file import LARGEST_BYTES, load_spec
from edgekd.core.yaml_text import LARGEST_NODES, LONGEST_VALUE
from edgekd.errors import SpecError


class Square(Spec):
    kind: Literal["square"] = "square"
    side: float = Field(default=1.0, gt=0)


class Circle(Spec):
    kind: Literal["circle"] = "circle"
    radius: float
    center: "Point | None" = None
    turn: float | None = Field(default=None, ge=2, le=3)


class Point(Spec):
    x: int = 0
    y: int = 0


Shape = Annotated[Square | Circle, Field(discriminator="kind")]


class Drawing(Spec):
    title: str = ""
    main: Shape = Square()
    shapes: tuple[Shape, ...] = ()
    file: str = ""

    @field_validator("file")
    @classmethod
    def _beside(cls, file: str, info: ValidationInfo) -> str:
        return str(info.context["folder"] / file) if info.context else file

    @model_validator(mode="after")
    def _no_title_alone(self) -> "Drawing":
        if self.title == "alone" and not self.shapes:
            msg = "a title alone: add shapes"
            raise ValueError(msg)
        if self.title == "bad":
            msg = "a bad title"
            raise ValueError(msg)
        return self


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "drawing.yaml"


def _refusal(path: Path, text: str, *overrides: str) -> SpecError:
    path.write_text(text)
    with pytest.raises(SpecError) as caught:
        load_spec(Drawing, path, overrides)
    return caught.value


def test_load_spec_reads_unions_lists_and_folder(path: Path) -> None:
    path.write_text("title: t\nshapes:\n- {kind: circle, radius: 2}\n- kind: square\nfile: a.png\n")
    drawing = load_spec(Drawing, path)
    assert drawing.shapes == (Circle(radius=2), Square())
    assert drawing.file == str(path.parent / "a.png")


def test_load_spec_overrides_lists_values_and_new_sections(path: Path) -> None:
    path.write_text("shapes: [{kind: square}, {kind: square}]")
    overrides = ("shapes.1.side=3", "shapes.0={kind: circle, radius: 1}", "main.side=2", "main.kind=square")
    drawing = load_spec(Drawing, path, (*overrides, "title=old", "title=new"))
    assert drawing == Drawing(title="new", shapes=(Circle(radius=1), Square(side=3)), main=Square(side=2))


@dataclass(frozen=True)
class Mistake:
    text: str
    what: str
    where: str
    fix: str


MISTAKES = {
    "unknown key in a list": Mistake(
        text="shapes:\n- kind: circle\n  radios: 2\n",
        what="unknown key 'shapes.0.radios' (also wrong or missing: shapes.0.radius)",
        where="line 3: shapes.0.radios",
        fix="did you mean 'radius'? Known: center, kind, radius, turn",
    ),
    "missing key in a list": Mistake(
        text="shapes:\n- kind: circle\n",
        what="missing key 'shapes.0.radius'",
        where="line 2: shapes.0.radius",
        fix="add it; edgekd schema spec shows every key",
    ),
    "unknown key in an optional section of a union": Mistake(
        text="main:\n  kind: circle\n  radius: 1\n  center: {x: 1, z: 2}\n",
        what="unknown key 'main.center.z'",
        where="line 4: main.center.z",
        fix="known: x, y",
    ),
    "misspelt kind": Mistake(
        text="main: {kind: circel}",
        what="unknown kind 'circel' in 'main'",
        where="line 1: main",
        fix="did you mean 'circle'? Known: square, circle",
    ),
    "other kind": Mistake(
        text="main: {kind: hexagon}",
        what="unknown kind 'hexagon' in 'main'",
        where="line 1: main",
        fix="known: square, circle",
    ),
    "no kind": Mistake(
        text="main: {side: 2}",
        what="missing key 'main.kind'",
        where="line 1: main",
        fix="add it; edgekd list shows the kinds",
    ),
    "value out of range": Mistake(
        text="main: {kind: square, side: 0}",
        what="main.side = 0: Input should be greater than 0",
        where="line 1: main.side",
        fix="write a number above 0",
    ),
    "value beyond both ends of an optional range": Mistake(
        text="main: {kind: circle, radius: 1, turn: 4}",
        what="main.turn = 4: Input should be less than or equal to 3",
        where="line 1: main.turn",
        fix="write a number of at least 2 and at most 3",
    ),
    "no section": Mistake(
        text="main: {kind: circle, radius: 1, center: true}",
        what="main.center = True: Input should be a valid dictionary",
        where="line 1: main.center",
        fix="write {...}, with any of x, y",
    ),
    "validator with a fix": Mistake(
        text="title: alone", what="a title alone", where="drawing.yaml: the file", fix="add shapes"
    ),
    "validator without a fix": Mistake(
        text="title: bad",
        what="a bad title",
        where="drawing.yaml: the file",
        fix="edgekd schema spec shows what it takes",
    ),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_load_spec_names_key_line_and_fix(path: Path, name: str) -> None:
    mistake = MISTAKES[name]
    error = _refusal(path, mistake.text)
    assert (error.what, error.fix) == (mistake.what, mistake.fix)
    assert str(path) in error.where
    assert error.where.endswith(mistake.where)


def test_load_spec_blames_the_override_that_did_it(path: Path) -> None:
    error = _refusal(path, "main: {kind: square, side: 1}\n", "title=x", "main.side=-1")
    assert error.where == "--set main.side=-1: main.side"
    assert _refusal(path, "title: x\n", "main.side=1").where == "--set main.side=1: main"
    error = _refusal(path, "main: {kind: square, sode: 1}\n", "main.side=2")
    assert error.where == f"{path}, line 1: main.sode"


def test_load_spec_shortens_long_values(path: Path) -> None:
    error = _refusal(path, f"title: [{', '.join(['word'] * 200)}]")
    assert error.what.startswith("title = ['word', 'word'")
    assert len(error.what) < 200


def test_load_spec_limits_size(path: Path) -> None:
    fits = f"title: {'x' * LONGEST_VALUE}\n"
    path.write_text(fits + "#" * (LARGEST_BYTES - len(fits)))
    assert len(load_spec(Drawing, path).title) == LONGEST_VALUE
    assert "bytes" in _refusal(path, fits + "#" * (LARGEST_BYTES - len(fits) + 1)).what
    assert str(LONGEST_VALUE) in _refusal(path, fits.replace("x", "xx")).fix
    assert str(LARGEST_NODES) in _refusal(path, f"title: [{'a,' * LARGEST_NODES}]").what
