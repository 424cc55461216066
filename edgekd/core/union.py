"""Unions of plug-ins: a section of a pipeline file is one of several specs, and its ``kind`` says which.

`BY_KIND` is what makes a union one. Besides the mapping, ``{kind: timm, name: resnet18}``, it takes the text
form, ``timm:resnet18``: a kind, and behind the colon what that kind's `Spec.from_text` reads.
"""

import re
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import Field, GetCoreSchemaHandler
from pydantic_core import CoreSchema, core_schema

from edgekd.core.spec_base import Spec


def members_by_kind(union: Any) -> dict[str, type[Spec]]:
    """Return the specs of a union, or of a union of unions, by their kind; a lone spec is a union of one.

    Args:
        union: ``Annotated[A | B, BY_KIND]``, where ``A`` may be such a union, or ``A``.
    """
    if get_origin(union) is Annotated:
        return members_by_kind(get_args(union)[0])
    options = get_args(union)
    if not options:
        return {union.model_fields["kind"].default: union}
    return {kind: member for option in options for kind, member in members_by_kind(option).items()}


def described(union: Any) -> dict[str, str]:
    """Return the plug-ins of a union: the word in the file -> the first line of its docstring."""
    return {
        word: (member.__doc__ or "").strip().splitlines()[0].replace("``", "")
        for word, member in members_by_kind(union).items()
    }


class _ByKind:
    """Annotates a union of specs: its value is a mapping with a kind, or its text form."""

    def __get_pydantic_core_schema__(self, union: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        members = members_by_kind(union)
        options: Any = Union[tuple(members.values())]  # noqa: UP007  known only when it runs
        schema = handler.generate_schema(Annotated[options, Field(discriminator="kind")])
        text = core_schema.str_schema(pattern=f"^({'|'.join(map(re.escape, members))})(:.*)?$")
        return core_schema.no_info_before_validator_function(
            lambda value: fields_from_text(union, value) if isinstance(value, str) else value,
            schema,
            json_schema_input_schema=core_schema.union_schema([text, schema]),
        )


BY_KIND = _ByKind()


def fields_from_text(union: Any, text: str) -> dict[str, Any]:
    """Return the fields of the plug-in that ``KIND`` or ``KIND:REST`` stands for.

    Raises:
        ValueError: If ``REST`` is not what the kind takes. A kind that is not known is left to validation.
    """
    kind, colon, rest = text.partition(":")
    members = members_by_kind(union)
    return {"kind": kind, **(members[kind].from_text(rest) if colon and kind in members else {})}
