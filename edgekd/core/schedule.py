"""How long and how fast something trains."""

from pydantic import Field

from edgekd.core.spec_base import Spec


class Schedule(Spec):
    """Epochs, and the peak learning rate: warmed up over the first tenth, then cosine to 0."""

    epochs: int = Field(ge=1)
    learning_rate: float = Field(gt=0)
