"""One call of a stage: the key of its inputs, and the sentence that says why it has to run."""

import inspect
import json
from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, JsonValue

from edgekd.core.artifact import Artifact, Stage
from edgekd.core.spec_base import Spec, json_digest

_SHOWN_CHARACTERS = 60


class StageInput(BaseModel):
    """One input of a stage.

    Attributes:
        identity: What the key is made of: the digest of a spec or an artifact, or the value itself.
        description: What a person reads: a spec's fields, an artifact's stage and digest, or the value.
    """

    model_config = ConfigDict(frozen=True)

    identity: JsonValue
    description: JsonValue


class StageCall(BaseModel):
    """A stage and its inputs, as data.

    Attributes:
        stage: Name of the stage.
        version: Version of the stage.
        key: Identity of the call, 64 hex digits: sha256 over the stage, its version and its inputs.
        inputs: By the parameter's name, in the order of the function's parameters.
        pending: Stages whose artifacts are inputs but do not exist yet; the key then has no meaning.
    """

    model_config = ConfigDict(frozen=True)

    stage: str
    version: int
    key: str
    inputs: dict[str, StageInput]
    pending: tuple[str, ...] = Field(default=(), exclude=True)


def bind_call(stage: Stage[..., Any], inputs: tuple[object, ...], named: Mapping[str, object]) -> StageCall:
    """Describe the call ``stage(*inputs, **named)``.

    Args:
        stage: The stage to call.
        inputs: Specs, artifacts, JSON values, or lists, tuples and dicts of them.
        named: The same by name. Parameters that are not given count with their defaults.

    Raises:
        TypeError: If the inputs do not fit the stage's parameters, or are of another kind.
    """
    bound = inspect.signature(stage.function).bind(None, *inputs, **named)
    bound.apply_defaults()
    arguments = dict(list(bound.arguments.items())[1:])
    identities = {name: _identity(value, name) for name, value in arguments.items()}
    key = json_digest({"stage": stage.name, "version": stage.version, "inputs": list(identities.values())})
    described = {
        name: StageInput(identity=identities[name], description=_description(value))
        for name, value in arguments.items()
    }
    pending = dict.fromkeys(found.stage for found in _artifacts(arguments) if not found.digest)
    return StageCall(
        stage=stage.name, version=stage.version, key=key, inputs=described, pending=tuple(pending)
    )


def explain_change(call: StageCall, last: StageCall) -> str:
    """Say what makes ``call`` another call than ``last``: ``distill.epochs changed from 5 to 8``."""
    if call.version != last.version:
        return f"stage version {last.version} -> {call.version}"
    changes = [
        change for name in {**call.inputs, **last.inputs} for change in _input_changes(call, last, name)
    ]
    if not changes:
        return "its entry is gone from the store"
    return "; ".join(changes)


def _identity(value: object, name: str) -> JsonValue:
    match value:
        case Artifact():
            return {"artifact": value.digest}
        case Spec():
            return {"spec": value.digest}
        case None | bool() | int() | float() | str():
            return value
        case list() | tuple():
            return [_identity(member, name) for member in value]
        case dict() if all(isinstance(key, str) for key in value):
            return {"dict": {key: _identity(member, name) for key, member in value.items()}}
    message = f"input {name} is a {type(value).__name__}: not a spec, an artifact or a JSON value"
    raise TypeError(message)


def _description(value: Any) -> JsonValue:
    match value:
        case Artifact():
            return {"stage": value.stage, "digest": value.digest}
        case Spec():
            fields: JsonValue = value.model_dump(mode="json")
            return fields
        case list() | tuple():
            return [_description(member) for member in value]
        case dict():
            return {key: _description(member) for key, member in value.items()}
        case None | bool() | int() | float() | str():
            return value
    raise AssertionError(value)


def _artifacts(value: object) -> Iterator[Artifact]:
    match value:
        case Artifact():
            yield value
        case list() | tuple():
            for member in value:
                yield from _artifacts(member)
        case dict():
            for member in value.values():
                yield from _artifacts(member)


def _input_changes(call: StageCall, last: StageCall, name: str) -> list[str]:
    if name not in last.inputs:
        return [f"input {name} is new"]
    if name not in call.inputs:
        return [f"input {name} was removed"]
    new, old = call.inputs[name], last.inputs[name]
    if _same(new.identity, old.identity):
        return []
    return list(_changes(name, old.description, new.description)) or [f"files behind {name} changed"]


def _changes(name: str, old: JsonValue, new: JsonValue) -> Iterator[str]:
    if _same(old, new):
        return
    if isinstance(old, dict) and isinstance(new, dict):
        if old.keys() == new.keys() == {"stage", "digest"}:
            yield f"input {name} changed"
            return
        for key in {**new, **old}:
            if key not in old:
                yield f"{name}.{key} is new"
            elif key not in new:
                yield f"{name}.{key} was removed"
            else:
                yield from _changes(f"{name}.{key}", old[key], new[key])
    elif isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        for index, (before, after) in enumerate(zip(old, new, strict=True)):
            yield from _changes(f"{name}[{index}]", before, after)
    else:
        yield f"{name} changed from {_shown(old)} to {_shown(new)}"


def _same(old: JsonValue, new: JsonValue) -> bool:
    return json_digest(old) == json_digest(new)  # to Python, 1 equals True


def _shown(value: JsonValue) -> str:
    text = json.dumps(value)
    return text if len(text) <= _SHOWN_CHARACTERS else text[: _SHOWN_CHARACTERS - 3] + "..."
