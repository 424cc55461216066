"""The base of everything that a pipeline file can say: frozen, closed, digestible."""

import hashlib
import json

from pydantic import BaseModel, ConfigDict


class Spec(BaseModel):
    """A frozen piece of a pipeline file. Unknown keys are errors; nobody repairs a spec."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    @property
    def digest(self) -> str:
        """Hex sha256 of the canonical JSON: what the store uses as this spec's identity."""
        return json_digest(self.model_dump(mode="json"))


def json_digest(value: object) -> str:
    """Return the hex sha256 of ``value`` as canonical JSON (sorted keys, no spaces)."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()
