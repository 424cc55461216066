"""The base of everything that a pipeline file can say: frozen, closed, digestible."""

import hashlib
import json

from pydantic import BaseModel, ConfigDict


class Spec(BaseModel):
    """A frozen piece of a pipeline file. Unknown keys are errors; nobody repairs a spec."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    @classmethod
    def from_text(cls, text: str) -> dict[str, str]:
        """Return the fields that ``text`` stands for in the text form ``KIND:text`` of a plug-in.

        Raises:
            ValueError: If this kind has no field that a text could fill, or the text does not fit.
        """
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


def _identity(value: object, plain: object) -> object:
    return value.digest if isinstance(value, Spec) else plain


def json_digest(value: object) -> str:
    """Return the hex sha256 of ``value`` as canonical JSON (sorted keys, no spaces)."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()
