"""Unions of plug-ins, with toy members; those of real pipeline files are in ``tests/test_spec.py``."""

from typing import Annotated, Any, Literal

import pytest
from pydantic import TypeAdapter, ValidationError

from edgekd.core.spec_base import Spec
from edgekd.core.union import BY_KIND, members_by_kind


class Plain(Spec):
    kind: Literal["plain"] = "plain"


class Named(Spec):
    kind: Literal["named"] = "named"
    name: str
    size: int = 1

    @classmethod
    def from_text(cls, text: str) -> dict[str, str]:
        return {"name": text}


class Other(Spec):
    kind: Literal["other"] = "other"


Few = Annotated[Plain | Named, BY_KIND]
More = Annotated[Few | Other, BY_KIND]
UNION: TypeAdapter[Any] = TypeAdapter(More)


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        ("plain", Plain()),
        ("other", Other()),
        ("named:x", Named(name="x")),
        ("named:a:b", Named(name="a:b")),
        ({"kind": "named", "name": "x", "size": 2}, Named(name="x", size=2)),
        (Named(name="x"), Named(name="x")),
    ],
)
def test_a_union_takes_text_mapping_and_object(given: Any, meant: Spec) -> None:
    assert UNION.validate_python(given) == meant


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ("plain:x", "nothing can stand behind its kind"),
        ("plain:", "nothing can stand behind its kind"),
        ("named", "Field required"),
        ("nmed:x", "'nmed' found using 'kind' does not match"),
        ("", "'' found using 'kind' does not match"),
        ({"name": "x"}, "Unable to extract tag"),
        (7, "valid dictionary"),
    ],
)
def test_a_union_refuses_what_is_none_of_its_members(given: Any, says: str) -> None:
    with pytest.raises(ValidationError, match=says):
        UNION.validate_python(given)


def test_members_by_kind_flattens_unions_and_takes_a_lone_spec() -> None:
    assert members_by_kind(More) == {"plain": Plain, "named": Named, "other": Other}
    assert members_by_kind(Plain) == {"plain": Plain}


def test_the_json_schema_holds_both_forms() -> None:
    text, mapping = UNION.json_schema()["anyOf"]
    assert text == {"type": "string", "pattern": "^(plain|named|other)(:.*)?$"}
    assert set(mapping["discriminator"]["mapping"]) == {"plain", "named", "other"}
