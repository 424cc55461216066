"""Reading a spec from YAML: safe, with overrides, and with errors that name file, key, line and fix."""

import difflib
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, TypeAdapter, ValidationError

from edgekd.core.union import members_by_kind
from edgekd.core.yaml_text import line_of, parse, shown
from edgekd.errors import SpecError

S = TypeVar("S", bound=BaseModel)
Location = tuple[str | int, ...]

LARGEST_BYTES = 1 << 16
MOST_NAMED = 20
"""Keys beside the first wrong one; what is behind them is named when these are mended."""

_TAKES = {
    "int_type": "a whole number, such as 5: not in quotes, and not 5.0",
    "float_type": "a number, such as 0.5 or 1e-3, and not in quotes",
    "finite_number": "a finite number",
    "bool_type": "true or false",
    "string_type": "text; put a number or true in quotes if it is meant as text",
}
"""What to write instead, by pydantic's type of mistake."""
_SCHEMA_SAYS = ("model_type", "greater_than", "greater_than_equal", "less_than", "less_than_equal")
"""Mistakes of which the JSON schema says what to write instead, by pydantic's type."""


def load_spec(
    kind: type[S],
    path: Path,
    overrides: Sequence[str] = (),
    *,
    called: str = "pipeline file",
    schema: str = "spec",
) -> S:
    """Read, override and validate a YAML file.

    Args:
        kind: The spec's class.
        path: The file.
        overrides: ``a.b=value`` each; the value is YAML.
        called: What a person calls such a file.
        schema: The word by which ``edgekd schema`` shows what it takes.

    Raises:
        SpecError: With file, key and line of the first mistake, and how to mend it.
    """
    text = _read(path, called=called, schema=schema)
    tree = parse(text, str(path))
    if not isinstance(tree, dict):
        is_this = "empty" if tree is None else f"a {type(tree).__name__}"
        what = f"a {called} is a mapping of keys, this is {is_this}"
        raise SpecError(what, where=str(path), fix=f"edgekd schema {schema} shows its keys")
    for override in overrides:
        _override(tree, override)
    try:
        return kind.model_validate(tree, context={"folder": path.parent.absolute()})
    except ValidationError as e:
        error = _first(e)
        keys = _written_keys(tree, tuple(error["loc"]), missing=error["type"] == "missing")
        where = _where(path, text, keys, overrides)
        explained = _explain(error, kind, keys, where=where, schema=schema, others=_others(e, error, tree))
        raise _of_another_kind(explained, keys[:-1], overrides) from e


def plugin_from_option(union: Any, text: str, *, option: str, text_form: str) -> Any:
    """Return the plug-in that an option of the command line names.

    Args:
        union: ``Annotated[A | B, BY_KIND]``.
        text: ``KIND``, ``KIND:REST``, or a mapping as in a file: ``{kind: KIND, key: value}``.
        option: Its name, such as ``--device``.
        text_form: How a person calls ``KIND:REST``.

    Raises:
        SpecError: If there is none of that kind, or it does not take what is written.
    """
    kinds = members_by_kind(union)
    fix = f"KIND, {text_form} or '{{kind: KIND, key: value}}', with KIND one of: {', '.join(kinds)}"
    value = parse(text, option) if text.lstrip().startswith("{") else text
    try:
        return TypeAdapter(union).validate_python(value)
    except ValidationError as e:
        error = _first(e)
        kind, *keys = error["loc"] or ("",)
        spoken, reason = _spoken(tuple(keys)), _message(error)
        match error["type"]:
            case "union_tag_invalid":
                reason = f"there is no such {option.removeprefix('--')}"
            case "union_tag_not_found":
                reason = "the key kind is missing"
            case "missing":
                reason = f"{kind} needs {spoken}"
            case "extra_forbidden":
                reason = f"unknown key {spoken!r}"
                fix = _suggest(str(keys[-1]), _known_keys(kinds[kind], tuple(keys[:-1])))
            case mistake if mistake in _SCHEMA_SAYS:
                reason = f"{spoken} = {shown(error['input'])}: {reason}"
                fix = f"write {_what_it_takes(_schema_at(kinds[kind], tuple(keys)))}"
        what = f"{option} {shown(text)}: {reason}"
        raise SpecError(what, where=option, fix=fix) from e


def _read(path: Path, *, called: str, schema: str) -> str:
    fix = f"give a YAML file; edgekd schema {schema} shows its keys"
    try:
        if path.exists() and not path.is_file():  # a pipe would be waited for
            what = f"cannot read the {called}: it is a folder, a pipe or a device"
            raise SpecError(what, where=str(path), fix=fix)
        with path.open("rb") as file:
            content = file.read(LARGEST_BYTES + 1)
    except (OSError, ValueError) as e:
        what = f"cannot read the {called}: {e}"
        raise SpecError(what, where=str(path), fix=fix) from e
    if len(content) > LARGEST_BYTES:
        what = f"the file has more than {LARGEST_BYTES} bytes: no {called}"
        raise SpecError(what, where=str(path), fix=fix)
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as e:
        what, line = f"not UTF-8: byte 0x{content[e.start]:02x}", content.count(b"\n", 0, e.start) + 1
        raise SpecError(what, where=f"{path}, line {line}", fix="save the file as UTF-8") from e


def _override(tree: dict[str, Any], override: str) -> None:
    keys, equals, text = override.partition("=")
    parts = keys.split(".")
    if not equals or not all(parts):
        what = f"override {override!r} is not of the form a.b=value"
        raise SpecError(what, where="--set", fix="write for example --set distill.schedule.epochs=5")
    node: Any = tree
    for part in parts[:-1]:
        node = _child(node, part, override)
    value = parse(text, f"--set {override}")
    if isinstance(node, list):
        node[_index(node, parts[-1], override)] = value
    else:
        node[parts[-1]] = value


def _child(node: Any, part: str, override: str) -> Any:
    if isinstance(node, list):
        return node[_index(node, part, override)]
    child = node.setdefault(part, {})
    if not isinstance(child, dict | list):
        what = f"{part!r} is a {type(child).__name__}: nothing can be set inside it"
        raise SpecError(what, where=f"--set {override}", fix="set the key itself")
    return child


def _index(node: list[Any], part: str, override: str) -> int:
    if not part.isdecimal() or len(part) > len(str(len(node))) or int(part) >= len(node):
        what = f"{shown(part)} is not one of the {len(node)} entries"
        raise SpecError(what, where=f"--set {override}", fix="count entries from 0")
    return int(part)


def _first(error: ValidationError) -> Any:
    """Return the mistake to show; a misspelt key comes before what is missing because of it."""
    errors = error.errors(include_url=False)
    return min(errors, key=lambda found: found["type"] != "extra_forbidden")


def _others(error: ValidationError, shown_first: Any, tree: Any) -> str:
    """Return where else something is wrong, to stand behind the first mistake."""
    others = [other for other in error.errors(include_url=False) if other != shown_first]
    found = [
        _written_keys(tree, tuple(other["loc"]), missing=other["type"] == "missing")
        for other in others
        if other["type"] != "too_short"  # it counts the right ones alone
    ]
    keys = list(dict.fromkeys(_spoken(keys) for keys in found))
    if not keys:
        return ""
    later = ", ..." if len(keys) > MOST_NAMED else ""
    return f" (also wrong or missing: {', '.join(keys[:MOST_NAMED])}{later})"


def _where(path: Path, text: str, keys: Location, overrides: Sequence[str]) -> str:
    spoken, line = _spoken(keys), line_of(text, keys)
    for override in overrides:
        key = override.partition("=")[0]
        if f"{spoken}.".startswith(f"{key}.") or (line is None and key.startswith(f"{spoken}.")):
            return f"--set {override}: {spoken}"
    inside = [one for one in overrides if one.startswith(f"{spoken}.")]
    changed = "".join(f", with --set {override}" for override in inside)
    return f"{path}, line {line}: {spoken}{changed}" if line else f"{path}: {spoken}{changed}"


def _message(error: Any) -> str:
    """Return what pydantic says of a mistake, without the names of classes."""
    message: str = error["msg"].removeprefix("Value error, ").partition(" or instance of ")[0]
    return message


def _explain(
    error: Any, kind: type[BaseModel], keys: Location, *, where: str, schema: str, others: str
) -> SpecError:
    spoken, message = _spoken(keys), _message(error)
    what = f"{spoken} = {shown(error['input'])}: {message}"
    fix = f"edgekd schema {schema} shows what it takes"
    match error["type"]:
        case "extra_forbidden":
            what = f"unknown key {spoken!r}"
            fix = _suggest(str(keys[-1]), _known_keys(kind, tuple(error["loc"][:-1])))
        case "missing":
            what, fix = f"missing key {spoken!r}", f"add it; edgekd schema {schema} shows every key"
            if spoken == "version":
                fix = f"write version: 1; edgekd schema {schema} shows every key"
        case "union_tag_not_found":
            what, fix = f"missing key '{spoken}.kind'", "add it; edgekd list shows the kinds"
        case "union_tag_invalid":
            tag = str(error["ctx"]["tag"])
            what = f"unknown kind {shown(tag)} in {spoken!r}"
            fix = _suggest(tag, _quoted(error["ctx"]["expected_tags"]))
        case "literal_error":
            fix = _suggest(str(error["input"]), _quoted(error["ctx"]["expected"]))
        case "value_error":
            what, _, written = message.partition(": ")
            fix = written or fix
        case mistake if mistake in _TAKES:
            fix = f"write {_TAKES[mistake]}"
        case mistake if mistake in _SCHEMA_SAYS:
            fix = f"write {_what_it_takes(_schema_at(kind, tuple(error['loc'])))}"
    return SpecError(what + others, where=where, fix=fix)


def _of_another_kind(error: SpecError, section: Location, overrides: Sequence[str]) -> SpecError:
    """Say how to change a kind where an override left the other kind's keys behind."""
    spoken = _spoken(section)
    for override in overrides:
        key, _, kind = override.partition("=")
        if key == f"{spoken}.kind" and error.what.startswith("unknown key"):
            fix = f"the file's keys belong to the other kind; set all: --set '{spoken}={{kind: {kind}}}'"
            return SpecError(error.what, where=error.where, fix=fix)
    return error


def _spoken(keys: Location) -> str:
    return ".".join(str(key) for key in keys) or "the file"


def _quoted(text: str) -> list[str]:
    return re.findall(r"'([^']*)'", text) or [text]


def _suggest(given: str, allowed: list[str]) -> str:
    near = difflib.get_close_matches(given, allowed, n=1)
    known = ", ".join(allowed)
    return f"did you mean {near[0]!r}? Known: {known}" if near else f"known: {known}"


def _what_it_takes(schema: Any) -> str:
    """Say in words which keys or numbers a JSON schema takes."""
    if "properties" in schema:
        needed = schema.get("required", [])
        free = sorted(schema["properties"].keys() - set(needed))
        keys = ", ".join(f"{key}: ..." for key in needed) or "..."
        return f"{{{keys}}}" + (f", with any of {', '.join(free)}" if free else "")
    bounds = {
        "minimum": "of at least",
        "exclusiveMinimum": "above",
        "maximum": "at most",
        "exclusiveMaximum": "below",
    }
    forms = [form for form in schema.get("anyOf", [schema]) if form.get("type") != "null"]
    words = [f"{word} {form[key]}" for form in forms for key, word in bounds.items() if key in form]
    return f"a number {' and '.join(words)}"


def _known_keys(kind: type[BaseModel], location: Location) -> list[str]:
    """Return the keys that the spec at ``location`` takes."""
    return sorted(_schema_at(kind, location).get("properties", {}))


def _schema_at(kind: type[BaseModel], location: Location) -> Any:
    """Return the JSON schema of what stands at ``location`` in a spec."""
    schema = kind.model_json_schema()
    node: Any = schema
    for part in location:
        node = _resolve(schema, node)
        if isinstance(part, int):
            node = node.get("items", {})
        elif part in node.get("properties", {}):
            node = node["properties"][part]
        else:  # the tag of a union: a kind, or what JSON calls the form
            mapping = node.get("discriminator", {}).get("mapping", {})
            forms = (_resolve(schema, option) for option in node.get("oneOf", []))
            form = [form for form in forms if form.get("type") == part]
            node = {"$ref": mapping[part]} if part in mapping else form[0] if form else {}
    return _resolve(schema, node)


def _resolve(schema: Any, node: Any) -> Any:
    """Follow references, and of alternatives the only one that has keys: not null, not the text form."""
    while True:
        with_keys = [
            option for option in node.get("anyOf", []) if option.get("type") not in ("null", "string")
        ]
        if "$ref" in node:
            node = schema["$defs"][node["$ref"].rpartition("/")[2]]
        elif len(with_keys) == 1:
            node = with_keys[0]
        else:
            return node


def _written_keys(tree: Any, location: Location, *, missing: bool) -> Location:
    """Drop the parts of a pydantic location that stand for a union's tag: nobody wrote them as keys.

    The last part of a key that is ``missing`` stays, although nobody wrote that either.
    """
    kept: list[str | int] = []
    for index, part in enumerate(location):
        named = index == len(location) - 1 and (missing or not isinstance(tree, dict))
        if not named and (isinstance(tree, str) or (isinstance(tree, dict) and part not in tree)):
            continue
        if isinstance(tree, int | float) or (isinstance(tree, list) and isinstance(part, str)):
            continue
        kept.append(part)
        tree = _child_or_none(tree, part)
    return tuple(kept)


def _child_or_none(tree: Any, part: str | int) -> Any:
    if isinstance(tree, dict):
        return tree.get(part)
    return tree[part] if isinstance(tree, list) and isinstance(part, int) else None
