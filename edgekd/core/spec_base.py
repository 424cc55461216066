"""The base of everything that a pipeline file can say: frozen, closed, digestible."""

import hashlib
import json
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, GetCoreSchemaHandler
from pydantic_core import CoreSchema


def _make_strict(schema: Any) -> None:
    """Let the scalars in ``schema`` take their own type alone; a list may still stand for a tuple."""
    if isinstance(schema, dict):
        if schema.get("type") in ("int", "float", "bool", "str"):
            schema["strict"] = True
        for name, part in schema.items():
            if name != "keys_schema":  # of a mapping: in JSON they are text
                _make_strict(part)
    elif isinstance(schema, list | tuple):
        for part in schema:
            _make_strict(part)


class Spec(BaseModel):
    """A frozen piece of a pipeline file. Unknown keys are errors; nobody repairs a spec.

    Types are strict: the text "5" is no 5, true is no 1, and 1.0 is no number of epochs. A whole number may
    stand where a float is wanted.

    Attributes:
        text_field: The field that is meant behind the colon of a plug-in's text form; empty if there is none.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    text_field: ClassVar[str] = ""

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        schema = handler(source)
        _make_strict(schema)
        return schema

    @classmethod
    def from_text(cls, text: str) -> dict[str, str]:
        """Return the fields that ``text`` stands for in the text form ``KIND:text`` of a plug-in.

        Raises:
            ValueError: If this kind has no field that a text could fill, or the text does not fit.
        """
        if cls.text_field:
            return {cls.text_field: text}
        msg = f"nothing can stand behind its kind, but {text!r} does: write it as {{kind: ..., key: value}}"
        raise ValueError(msg)

    @property
    def digest(self) -> str:
        """Hex sha256: what the store uses as this spec's identity.

        A nested spec counts with its own digest, so that one whose meaning depends on files can add their
        contents.
        """
        plain = self.model_dump(mode="json")
        return json_digest(
            {name: _identity(getattr(self, name), plain[name]) for name in type(self).model_fields}
        )


def _whole_number(version: object) -> object:
    """Refuse true and 1.0, which a literal 1 would take: they are equal."""
    if type(version) is not int:
        msg = f"version is {version!r}, not a whole number: write version: 1"
        raise ValueError(msg)
    return version


Version1 = Annotated[Literal[1], BeforeValidator(_whole_number)]
"""The version of a file's format, as its first key says it."""


def _identity(value: object, plain: object) -> object:
    return value.digest if isinstance(value, Spec) else plain


def json_digest(value: object) -> str:
    """Return the hex sha256 of ``value`` as canonical JSON (sorted keys, no spaces)."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()
