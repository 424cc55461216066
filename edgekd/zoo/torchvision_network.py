"""Classification networks of torchvision, by name."""

import difflib
from types import ModuleType
from typing import Any, Literal

from pydantic import Field, JsonValue, field_validator
from torch import nn

from edgekd.core.optional import require
from edgekd.errors import DataError, SpecError
from edgekd.zoo.network import NetworkSpec, must_classify
from edgekd.zoo.weights import FetchedWeights

GIVEN = ("weights", "num_classes")


class TorchvisionSpec(NetworkSpec):
    """Any classification network of torchvision.

    Attributes:
        name: As ``torchvision.models.list_models()`` has it.
        weights: Name of the pretrained weights that it comes with, e.g. ``"IMAGENET1K_V1"``; null for none.
        options: Further keyword arguments of ``torchvision.models.get_model``.
    """

    kind: Literal["torchvision"] = "torchvision"
    name: str = Field(pattern=r"^[A-Za-z0-9_]+$")
    weights: str | None = Field(default=None, pattern=r"^[A-Z0-9_]+$")
    options: dict[str, JsonValue] = Field(default={})

    @field_validator("options")
    @classmethod
    def _leave_the_rest_to_edgekd(cls, options: dict[str, JsonValue]) -> dict[str, JsonValue]:
        for key in GIVEN:
            if key in options:
                msg = f"options.{key} is not an option: the data and the key weights say it"
                raise ValueError(msg)
        return options

    @classmethod
    def from_text(cls, text: str) -> dict[str, str]:
        """Return the fields that ``NAME`` stands for."""
        return {"name": text}

    @property
    def title(self) -> str:
        """Name for people, e.g. ``"torchvision resnet18"``."""
        return f"torchvision {self.name}"

    @property
    def brings_weights(self) -> bool:
        """Whether it is pretrained."""
        return self.weights is not None

    def build(self, *, channels: int, classes: int, size: tuple[int, int]) -> nn.Module:
        """Build the body: float images (n, channels, height, width) to logits (n, classes).

        Raises:
            RuntimeMissing: If torchvision is not installed.
            SpecError: If torchvision has no such network or cannot make it.
            ExportError: If the network takes or returns something else; torchvision's take 3 channels.
        """
        try:
            body = self._models().get_model(self.name, weights=None, num_classes=classes, **self.options)
        except (TypeError, ValueError, RuntimeError, AssertionError) as e:
            what = f"torchvision cannot make {self.name}: {type(e).__name__}: {e}"
            fix = "mend options; torchvision.models.get_model takes them"
            raise SpecError(what, where=self.title, fix=fix) from e
        return must_classify(body, where=self.title, channels=channels, classes=classes, size=size)

    def given_weights(self, *, channels: int, classes: int, size: tuple[int, int]) -> FetchedWeights | None:
        """Return torchvision's pretrained weights and normalization; a head of other classes stays fresh."""
        if self.weights is None:
            return None
        offered = self._models().get_model_weights(self.name)
        if self.weights not in offered.__members__:
            what = f"torchvision has no weights {self.weights!r} of {self.name}"
            known = ", ".join(offered.__members__) or "none"
            raise SpecError(what, where="network.weights", fix=f"known: {known}")
        chosen = offered[self.weights]
        trained_classes = len(chosen.meta["categories"])

        def fetch(body: nn.Module) -> dict[str, Any]:
            try:
                trained = chosen.get_state_dict(progress=False, check_hash=True, weights_only=True)
            except Exception as e:  # whatever the download raises without a network
                what = f"torchvision cannot load {chosen}: {type(e).__name__}: {e}"
                fix = "check the connection, or give a file: weights: {path: x.safetensors, mean, std}"
                raise DataError(what, where=self.title, fix=fix) from e
            return with_fresh_head(trained, body.state_dict(), trained_classes=trained_classes)

        transforms = chosen.transforms()
        return FetchedWeights(
            mean=tuple(transforms.mean), std=tuple(transforms.std), classes=trained_classes, fetch=fetch
        )

    def _models(self) -> ModuleType:
        models = require("torchvision.models", package="torchvision", extra="torchvision")
        names = models.list_models(module=models)
        if self.name not in names:
            near = difflib.get_close_matches(self.name, names, n=3)
            what = f"torchvision has no classification network {self.name!r}"
            fix = (
                f"did you mean {' or '.join(near)}?" if near else "torchvision.models.list_models() names all"
            )
            raise SpecError(what, where="network.name", fix=fix)
        return models


def with_fresh_head(
    trained: dict[str, Any], fresh: dict[str, Any], *, trained_classes: int
) -> dict[str, Any]:
    """Return ``trained`` with the fresh tensors where only the number of classes differs."""

    def is_head(name: str) -> bool:
        old, new = trained[name].shape, fresh[name].shape
        return bool(old != new and old[:1] == (trained_classes,) and old[1:] == new[1:])

    return {name: fresh[name] if name in fresh and is_head(name) else trained[name] for name in trained}
