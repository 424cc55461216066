import hashlib

import pytest
from pydantic import ValidationError

from edgekd.core.spec_base import Spec, json_digest


class Part(Spec):
    path: str
    rate: float = 0.5

    @property
    def digest(self) -> str:
        return json_digest({"content of": self.path.rpartition("/")[2], "rate": self.rate})


class Plain(Spec):
    epochs: int = 1
    rate: float = 0.5


class Whole(Spec):
    part: Part | None = None
    parts: tuple[Plain, ...] = ()
    name: str = ""


def test_json_digest_is_sha256_of_canonical_json() -> None:
    assert json_digest({"b": [1, None], "a": "x"}) == hashlib.sha256(b'{"a":"x","b":[1,null]}').hexdigest()


def test_json_digest_tells_types_apart() -> None:
    assert len({json_digest(value) for value in (1, 1.0, "1", True, [1], {"1": 1})}) == 6


def test_json_digest_refuses_what_json_does_not_know() -> None:
    with pytest.raises(ValueError, match="JSON"):
        json_digest(float("nan"))


def test_digest_is_the_same_for_equal_specs_and_for_defaults_spelled_out() -> None:
    assert Plain().digest == Plain(epochs=1, rate=0.5).digest == Plain(rate=0.5, epochs=1).digest


def test_digest_changes_with_every_field() -> None:
    assert len({spec.digest for spec in (Plain(), Plain(epochs=2), Plain(rate=0.25))}) == 3


def test_digest_counts_nested_specs_by_their_own_digest() -> None:
    here, there = Whole(part=Part(path="/here/w.bin")), Whole(part=Part(path="/there/w.bin"))
    assert here.digest == there.digest
    assert Whole(part=Part(path="/here/other.bin")).digest != here.digest
    assert Whole(part=Part(path="/here/w.bin", rate=0.1)).digest != here.digest


def test_digest_counts_specs_in_tuples() -> None:
    assert Whole(parts=(Plain(),)).digest != Whole(parts=(Plain(epochs=2),)).digest != Whole().digest


@pytest.mark.parametrize(
    "fields", [{"epoch": 1}, {"rate": float("nan")}, {"rate": float("inf")}, {"rate": "x"}]
)
def test_spec_refuses_unknown_keys_and_what_is_no_number(fields: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        Plain.model_validate(fields)


def test_spec_is_frozen() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        Plain().epochs = 2
