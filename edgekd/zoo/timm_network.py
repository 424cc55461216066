"""Networks of timm, by name.

Source: Wightman, *PyTorch Image Models*, github.com/huggingface/pytorch-image-models. All of timm's own
defaults are kept but two. ``exportable`` makes it write attention as products and a softmax, and activations
as plain functions, instead of fused kernels and autograd functions of its own: quantizers need edges to sit
on. ``img_size`` is that of the data for a network that is built for one size.
"""

import contextlib
import difflib
import logging
from collections.abc import Iterator
from statistics import fmean
from types import ModuleType
from typing import Any, Literal

from pydantic import Field, JsonValue, field_validator
from torch import nn

from edgekd.core.optional import require
from edgekd.errors import DataError, SpecError
from edgekd.zoo.network import NetworkSpec, must_classify
from edgekd.zoo.weights import FetchedWeights

GIVEN = ("pretrained", "exportable", "num_classes", "in_chans")


class TimmSpec(NetworkSpec):
    """Any network of timm.

    Attributes:
        name: As ``timm.list_models()`` has it; a tag, as in ``resnet18.a1_in1k``, pins pretrained weights.
        pretrained: Whether it comes with the weights that timm loads, from the hub, and their normalization.
        options: Further keyword arguments of ``timm.create_model``.
    """

    text_field = "name"

    kind: Literal["timm"] = "timm"
    name: str = Field(pattern=r"^[A-Za-z0-9_.]+$")
    pretrained: bool = False
    options: dict[str, JsonValue] = Field(default={})

    @field_validator("options")
    @classmethod
    def _leave_the_rest_to_edgekd(cls, options: dict[str, JsonValue]) -> dict[str, JsonValue]:
        for key in GIVEN:
            if key in options:
                msg = f"options.{key} is not an option: the data and the key pretrained say it"
                raise ValueError(msg)
        return options

    @property
    def title(self) -> str:
        """Name for people, e.g. ``"timm resnet18"``."""
        return f"timm {self.name}"

    @property
    def brings_weights(self) -> bool:
        """Whether it is pretrained."""
        return self.pretrained

    def build(self, *, channels: int, classes: int, size: tuple[int, int]) -> nn.Module:
        """Build the body: float images (n, channels, height, width) to logits (n, classes).

        Raises:
            RuntimeMissing: If timm is not installed.
            SpecError: If timm has no such network or cannot make it.
            ExportError: If the network takes or returns something else.
        """
        shape: dict[str, Any] = {"channels": channels, "classes": classes, "size": size}
        try:
            body = self._create(**shape)
        except (TypeError, ValueError, RuntimeError, AssertionError) as e:
            what = f"timm cannot make {self.name}: {type(e).__name__}: {e}"
            raise SpecError(what, where=self.title, fix="mend options; timm.create_model takes them") from e
        return must_classify(body, where=self.title, **shape)

    def given_weights(self, *, channels: int, classes: int, size: tuple[int, int]) -> FetchedWeights | None:
        """Return timm's pretrained weights and normalization; a head of other classes stays fresh."""
        if not self.pretrained:
            return None

        def fetch(body: nn.Module) -> dict[str, Any]:
            try:
                with _one_message():
                    trained = self._create(channels=channels, classes=classes, size=size, pretrained=True)
            except Exception as e:  # whatever the hub's client raises without a network
                what = f"timm cannot load the pretrained weights of {self.name}: {type(e).__name__}: {e}"
                fix = (
                    "check the connection, give a file: weights: {path: x.safetensors, mean, std}, "
                    "or train from nothing: pretrained: false"
                )
                raise DataError(what.splitlines()[0], where=self.title, fix=fix) from e
            return trained.state_dict()

        config = self._timm().get_pretrained_cfg(self.name)
        return FetchedWeights(
            mean=_for_channels(config.mean, channels),
            std=_for_channels(config.std, channels),
            classes=config.num_classes,
            fetch=fetch,
        )

    def _create(
        self, *, channels: int, classes: int, size: tuple[int, int], pretrained: bool = False
    ) -> nn.Module:
        timm = self._timm()
        fixed = {"img_size": size} if timm.get_pretrained_cfg(self.name).fixed_input_size else {}
        body: nn.Module = timm.create_model(
            self.name,
            pretrained=pretrained,
            exportable=True,
            num_classes=classes,
            in_chans=channels,
            **{**fixed, **self.options},
        )
        return body

    def _timm(self) -> ModuleType:
        timm = require("timm", package="timm", extra="timm")
        if not timm.is_model(self.name):
            near = difflib.get_close_matches(self.name, timm.list_models(), n=3)
            what = f"timm {timm.__version__} has no network {self.name!r}"
            fix = f"did you mean {' or '.join(near)}?" if near else "timm.list_models() names them all"
            raise SpecError(what, where="network.name", fix=fix)
        return timm


@contextlib.contextmanager
def _one_message() -> Iterator[None]:
    """Keep the hub's client from reporting each of its attempts; the last error says what happened."""
    logger = logging.getLogger("huggingface_hub")
    level = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        logger.setLevel(level)


def _for_channels(values: tuple[float, ...], channels: int) -> tuple[float, ...]:
    """Return per-channel statistics as timm adapts its first layer: summed for grey, else repeated."""
    return (fmean(values),) if channels == 1 else tuple(values[i % len(values)] for i in range(channels))
