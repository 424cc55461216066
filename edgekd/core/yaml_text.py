"""YAML as a file of edgekd's may use it: values whose type is plain to see, and nothing that could do harm.

Plain words and numbers mean what YAML 1.2 says: ``no`` and ``on`` are text, ``1e-3`` is a number, ``1:30``
and ``2020-01-01`` are text. Refused are keys that are there twice, tags of other types, and what would
fill the memory or the stack.
"""

import json
import re
from collections.abc import Iterator
from typing import Any

import yaml

from edgekd.errors import SpecError

LARGEST_NODES = 10_000
"""Values in a file, aliases written out: what keeps a few lines of aliases from filling the memory."""
LONGEST_VALUE = 1_000

_TAG = "tag:yaml.org,2002:"
_TYPES = ("str", "int", "float", "bool", "null", "merge", "map", "seq")
_PLAIN = (  # type, what it looks like, how it may begin; the first that fits counts
    ("bool", r"true|True|TRUE|false|False|FALSE", "tTfF"),
    ("int", r"[-+]?(0|[1-9][0-9]*)", "-+0123456789"),
    ("float", r"[-+]?(\.[0-9]+|(0|[1-9][0-9]*)(\.[0-9]*)?)([eE][-+]?[0-9]+)?", "-+.0123456789"),
    ("float", r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)", "-+."),
    ("merge", r"<<", "<"),
    ("null", r"~|null|Null|NULL|", ("~", "n", "N", "")),
)


class _Loader(yaml.SafeLoader):
    """PyYAML's safe loader with the plain values of YAML 1.2."""

    yaml_implicit_resolvers: dict[str, Any] = {}  # noqa: RUF012  the name is PyYAML's


for _type, _pattern, _beginnings in _PLAIN:
    _Loader.add_implicit_resolver(f"{_TAG}{_type}", re.compile(f"({_pattern})\\Z"), list(_beginnings))


def parse(text: str, where: str) -> Any:
    """Return the value that a YAML text stands for.

    Args:
        text: One document.
        where: What the error names.

    Raises:
        SpecError: If it is no YAML, or more than such a file needs; the line is named.
    """
    try:
        root = yaml.compose(text, Loader=_Loader)
        if root is not None:
            _check_nodes(root, where)
        tree = yaml.load(text, Loader=_Loader)
        return json.loads(json.dumps(tree))  # what aliases share is changed in one place only
    except RecursionError as e:
        what = "not valid YAML for edgekd: nested too deeply"
        raise SpecError(what, where=where, fix="write fewer brackets within brackets") from e
    except yaml.reader.ReaderError as e:
        what = f"not valid YAML: character #x{e.character:04x} cannot be printed"
        line = text.count("\n", 0, e.position) + 1
        raise SpecError(what, where=f"{where}, line {line}", fix="remove it, or write it with \\x") from e
    except (yaml.YAMLError, ValueError) as e:
        mark = getattr(e, "problem_mark", None)
        what = f"not valid YAML: {getattr(e, 'problem', None) or e}"
        raise SpecError(what, where=_place(where, mark), fix="mend the syntax there") from e


def line_of(text: str, keys: tuple[str | int, ...]) -> int | None:
    """Return the line of the last of ``keys`` that is written in a text that `parse` took."""
    node = yaml.compose(text, Loader=_Loader)
    line = None
    for part in keys:
        written = _written(node, part)
        if written is None:
            break
        line = written[0].start_mark.line + 1
        node = written[1]
    return line


def shown(value: object, *, characters: int = 80) -> str:
    """Return ``value`` as Python writes it, shortened."""
    text = repr(value)
    return text if len(text) <= characters else f"{text[: characters - 3]}..."


def _written(node: Any, part: str | int) -> tuple[Any, Any] | None:
    """Return the nodes of a key and its value; of a list's entry, the entry twice."""
    if isinstance(node, yaml.MappingNode):
        return next((pair for pair in node.value if pair[0].value == str(part)), None)
    if isinstance(node, yaml.SequenceNode) and isinstance(part, int) and part < len(node.value):
        return node.value[part], node.value[part]
    return None


def _place(where: str, mark: Any) -> str:
    return where if mark is None else f"{where}, line {mark.line + 1}"


def _check_nodes(root: Any, where: str) -> None:
    """Refuse what YAML allows and no file of edgekd's needs."""
    if _expanded_size(root, {}) > LARGEST_NODES:
        what = f"more than {LARGEST_NODES} values, aliases written out"
        raise SpecError(what, where=where, fix="write the values without aliases")
    for node in _nodes(root):
        place = _place(where, node.start_mark)
        if node.tag.removeprefix(_TAG) not in _TYPES:
            what = f"not valid YAML for edgekd: the tag {shown(node.tag)}"
            raise SpecError(what, where=place, fix="write the value without a tag")
        if isinstance(node, yaml.MappingNode):
            _check_keys(node, where)
        text = node.value if isinstance(node, yaml.ScalarNode) else ""
        if len(text) > LONGEST_VALUE or not all(part.isprintable() for part in text.splitlines()):
            what = f"not a value that edgekd reads: {shown(text)}"
            raise SpecError(what, where=place, fix=f"write at most {LONGEST_VALUE} printable characters")


def _check_keys(mapping: yaml.MappingNode, where: str) -> None:
    seen = set()
    for key, _ in mapping.value:
        if not isinstance(key, yaml.ScalarNode):
            what = "not valid YAML for edgekd: a key that is a list or a mapping"
            raise SpecError(what, where=_place(where, key.start_mark), fix="write a word as the key")
        if key.value in seen:
            what = f"key {key.value!r} is there twice"
            raise SpecError(what, where=_place(where, key.start_mark), fix="keep one of the two")
        seen.add(key.value)


def _expanded_size(node: Any, known: dict[int, int]) -> int:
    if id(node) not in known:
        known[id(node)] = LARGEST_NODES  # an alias of itself has no end
        known[id(node)] = 1 + sum(_expanded_size(child, known) for child in _children(node))
    return known[id(node)]


def _nodes(node: Any) -> Iterator[Any]:
    yield node
    for child in _children(node):
        yield from _nodes(child)


def _children(node: Any) -> list[Any]:
    if isinstance(node, yaml.MappingNode):
        return [part for pair in node.value for part in pair]
    return list(node.value) if isinstance(node, yaml.SequenceNode) else []
