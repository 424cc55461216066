"""Reading a spec from YAML: safe, with overrides, and with errors that name file, key, line and fix."""

import difflib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ValidationError

from edgekd.errors import SpecError

S = TypeVar("S", bound=BaseModel)
Location = tuple[str | int, ...]

LARGEST_BYTES = 1 << 20


def load_spec(kind: type[S], path: Path, overrides: Sequence[str] = ()) -> S:
    """Read, override and validate a YAML file.

    Args:
        kind: The spec's class.
        path: The file.
        overrides: ``a.b=value`` each; the value is YAML.

    Raises:
        SpecError: With file, key and line of the first mistake, and how to mend it.
    """
    text = _read(path)
    tree = _parse(text, str(path))
    if not isinstance(tree, dict):
        what = f"a pipeline file is a mapping of keys, this is a {type(tree).__name__}"
        raise SpecError(what, where=str(path), fix="start from a file in pipelines/")
    for override in overrides:
        _override(tree, override)
    try:
        return kind.model_validate(tree, context={"folder": path.parent})
    except ValidationError as e:
        raise _explain(e, kind, path, text) from e


def _read(path: Path) -> str:
    try:
        if path.stat().st_size > LARGEST_BYTES:
            what = f"the file has more than {LARGEST_BYTES} bytes: no pipeline file"
            raise SpecError(
                what, where=str(path), fix="give a YAML file, such as pipelines/mobilenet_int8.yaml"
            )
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as e:
        what = f"cannot read the pipeline file: {e}"
        raise SpecError(
            what, where=str(path), fix="give a YAML file, such as pipelines/mobilenet_int8.yaml"
        ) from e


def _parse(text: str, where: str) -> Any:
    try:
        return yaml.safe_load(text)
    except (yaml.YAMLError, RecursionError, ValueError) as e:
        mark = getattr(e, "problem_mark", None)
        place = where if mark is None else f"{where}, line {mark.line + 1}"
        what = f"not valid YAML: {getattr(e, 'problem', None) or e}"
        raise SpecError(what, where=place, fix="mend the syntax there") from e


def _override(tree: dict[str, Any], override: str) -> None:
    keys, equals, text = override.partition("=")
    parts = keys.split(".")
    if not equals or not all(parts):
        what = f"override {override!r} is not of the form a.b=value"
        raise SpecError(what, where="--set", fix="write for example --set distill.schedule.epochs=5")
    node: Any = tree
    for part in parts[:-1]:
        node = _child(node, part, override)
    value = _parse(text, f"--set {override}")
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
    if not part.isdigit() or int(part) >= len(node):
        what = f"{part!r} is not one of the {len(node)} entries"
        raise SpecError(what, where=f"--set {override}", fix="count entries from 0")
    return int(part)


def _explain(error: ValidationError, kind: type[BaseModel], path: Path, text: str) -> SpecError:
    first = error.errors(include_url=False)[0]
    location = tuple(first["loc"])
    keys = _written_keys(text, location)
    line = _line_of(text, keys)
    spoken = ".".join(str(key) for key in keys) or "the file"
    where = f"{path}, line {line}: {spoken}" if line else f"{path}: {spoken}"
    more = len(error.errors()) - 1
    message = first["msg"].removeprefix("Value error, ")
    fix = message.partition(": ")[2] if first["type"] == "value_error" else _fix(first, kind, location)
    what = _what(first, message, spoken) + (f" (and {more} more)" if more else "")
    return SpecError(what, where=where, fix=fix)


def _what(first: Any, message: str, spoken: str) -> str:
    if first["type"] == "extra_forbidden":
        return f"unknown key {spoken!r}"
    if first["type"] == "missing":
        return f"missing key {spoken!r}"
    if first["type"] == "union_tag_invalid":
        return f"unknown kind {first['ctx']['tag']!r} in {spoken!r}"
    if first["type"] == "value_error":
        return message
    return f"{spoken} = {first['input']!r}: {message}"


def _fix(first: Any, kind: type[BaseModel], location: Location) -> str:
    if first["type"] == "union_tag_invalid":
        allowed = [item.strip(" '") for item in first["ctx"]["expected_tags"].split(",")]
        return _suggest(str(first["ctx"]["tag"]), allowed)
    if first["type"] == "union_tag_not_found":
        return "add a key 'kind'; edgekd list shows the kinds"
    if first["type"] == "extra_forbidden":
        return _suggest(str(location[-1]), _known_keys(kind, location[:-1]))
    if first["type"] == "missing":
        return "add it; edgekd schema spec shows every key"
    return "edgekd schema spec shows what the key takes"


def _suggest(given: str, allowed: list[str]) -> str:
    near = difflib.get_close_matches(given, allowed, n=1)
    known = ", ".join(allowed)
    return f"did you mean {near[0]!r}? Known: {known}" if near else f"known: {known}"


def _known_keys(kind: type[BaseModel], location: Location) -> list[str]:
    """Return the keys that the spec at ``location`` takes, read from the JSON schema."""
    schema = kind.model_json_schema()
    node: Any = schema
    for part in location:
        node = _resolve(schema, node)
        if isinstance(part, int):
            node = node.get("items", {})
        elif part in node.get("properties", {}):
            node = node["properties"][part]
        else:  # the tag of a union
            mapping = node.get("discriminator", {}).get("mapping", {})
            node = {"$ref": mapping[part]} if part in mapping else {}
    return sorted(_resolve(schema, node).get("properties", {}))


def _resolve(schema: Any, node: Any) -> Any:
    while True:
        if "$ref" in node:
            node = schema["$defs"][node["$ref"].rpartition("/")[2]]
        elif (
            "anyOf" in node and len([option for option in node["anyOf"] if option.get("type") != "null"]) == 1
        ):
            node = next(option for option in node["anyOf"] if option.get("type") != "null")
        else:
            return node


def _written_keys(text: str, location: Location) -> Location:
    """Drop the parts of a pydantic location that stand for a union's tag: nobody wrote them."""
    node = yaml.compose(text, Loader=yaml.SafeLoader)
    kept: list[str | int] = []
    for index, part in enumerate(location):
        child = _yaml_child(node, part)
        last = index == len(location) - 1
        if child is None and not last and isinstance(node, yaml.MappingNode):
            continue
        kept.append(part)
        node = child
    return tuple(kept)


def _line_of(text: str, keys: Location) -> int | None:
    node = yaml.compose(text, Loader=yaml.SafeLoader)
    line = None
    for part in keys:
        if isinstance(node, yaml.MappingNode):
            written = next((key for key, _ in node.value if key.value == str(part)), None)
            line = written.start_mark.line + 1 if written is not None else line
        node = _yaml_child(node, part)
        if node is None:
            break
        line = line or node.start_mark.line + 1
    return line


def _yaml_child(node: Any, part: str | int) -> Any:
    if isinstance(node, yaml.MappingNode):
        return next((value for key, value in node.value if key.value == str(part)), None)
    if isinstance(node, yaml.SequenceNode) and isinstance(part, int) and part < len(node.value):
        return node.value[part]
    return None
