"""A network that a function of the user's builds."""

from pathlib import Path
from typing import Literal

from pydantic import JsonValue
from torch import nn

from edgekd.core.user_code import UserFunction
from edgekd.errors import SpecError
from edgekd.zoo.network import NetworkSpec, must_classify


class PythonNetworkSpec(UserFunction, NetworkSpec):
    """Your own: ``function(channels=..., classes=..., **options)`` in a Python file.

    The function returns an ``nn.Module`` with fresh weights, which maps float images (n, channels, height,
    width) to logits (n, classes). It runs only with ``--allow-code``.
    """

    kind: Literal["python"] = "python"

    @property
    def title(self) -> str:
        """Name for people, e.g. ``"mine.build"``."""
        return f"{Path(self.file).stem}.{self.function}"

    @property
    def architecture(self) -> dict[str, JsonValue]:
        """All but the path: the digest holds what the file says."""
        return self.model_dump(mode="json", exclude={"file"})

    def build(self, *, channels: int, classes: int, size: tuple[int, int]) -> nn.Module:
        """Call the function and try what it returns.

        Raises:
            SpecError: If nobody allowed it, or it cannot be loaded, raises, or returns no ``nn.Module``.
            ExportError: If the network takes or returns something else.
        """
        where = f"{self.file}:{self.function}"
        body = self.call(channels=channels, classes=classes)
        if not isinstance(body, nn.Module):
            what = f"{self.function} returned a {type(body).__name__}, no torch.nn.Module"
            raise SpecError(what, where=where, fix="return the network")
        return must_classify(body, where=where, channels=channels, classes=classes, size=size)
