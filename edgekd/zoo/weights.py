"""Given weights: safetensors only, every key accounted for."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import torch
from pydantic import Field
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from edgekd.core.atomic import file_sha256
from edgekd.core.spec_base import Spec, json_digest
from edgekd.data.paths import expand_data_path
from edgekd.errors import DataError


class GivenWeights(Protocol):
    """Trained weights of a body, and the normalization they were trained with.

    Attributes:
        mean: Per channel, as a fraction of 255.
        std: Per channel, as a fraction of 255.
    """

    @property
    def mean(self) -> tuple[float, ...]: ...  # noqa: D102  as above

    @property
    def std(self) -> tuple[float, ...]: ...  # noqa: D102  as above

    def load_into(self, body: nn.Module) -> None:
        """Put the weights into a body that was built for them, in place.

        Raises:
            DataError: If they cannot be had or do not fit.
        """


@dataclass(frozen=True)
class FetchedWeights:
    """Trained weights that somebody else's loader fetches when they are needed; see `GivenWeights`.

    Attributes:
        mean: Per channel, as a fraction of 255.
        std: Per channel, as a fraction of 255.
        classes: Number of classes that they were trained on.
        fetch: Returns every tensor of the body that it is handed, or raises DataError.
    """

    mean: tuple[float, ...]
    std: tuple[float, ...]
    classes: int
    fetch: Callable[[nn.Module], Mapping[str, Tensor]]

    def load_into(self, body: nn.Module) -> None:
        """Fetch the weights and put them into a body, in place."""
        body.load_state_dict(self.fetch(body))


class WeightsSpec(Spec):
    """Weights that a network starts from, and the normalization they were trained with.

    Attributes:
        path: A safetensors file; may start with ``$EDGEKD_DATA`` or ``~``.
        mean: Per channel, as a fraction of 255.
        std: Per channel, as a fraction of 255.
    """

    path: str
    mean: tuple[float, ...] = Field(min_length=1)
    std: tuple[float, ...] = Field(min_length=1)

    @property
    def digest(self) -> str:
        """Hex sha256 of the file's contents and the normalization; the path does not count."""
        file = weights_file(self.path)
        return json_digest({"sha256": file_sha256(file), "mean": self.mean, "std": self.std})

    def load_into(self, body: nn.Module) -> None:
        """Put the weights into a body, in place; see `load_weights`."""
        load_weights(body, self.path)


def weights_file(path: str | Path) -> Path:
    """Return the existing safetensors file behind ``path``.

    Raises:
        DataError: If it is missing or of another kind.
    """
    file = expand_data_path(str(path))
    if file.suffix != ".safetensors":
        what = (
            f"weights must be a .safetensors file, not '{file.suffix}': other formats can run code when read"
        )
        load = f"torch.load({file.name!r}, weights_only=True)"
        fix = f"convert it: safetensors.torch.save_file({load}, '{file.stem}.safetensors')"
        raise DataError(what, where=str(path), fix=fix)
    if not file.is_file():
        what = f"no such file: {file}"
        raise DataError(what, where=str(path), fix="set weights to the path of an existing file")
    return file


def load_weights(module: nn.Module, path: str | Path) -> None:
    """Load a safetensors file into a module, in place.

    Args:
        module: Network whose parameters and buffers the file holds, under the same names.
        path: The file; may start with ``$EDGEKD_DATA`` or ``~``.

    Raises:
        DataError: If the file is missing, is not safetensors, or lacks a key, has one too many or one of
            another shape.
    """
    file = weights_file(path)
    try:
        given = load_file(file)
    except SafetensorError as e:
        what = f"not a readable safetensors file: {e}"
        raise DataError(what, where=str(path), fix="fetch or convert it again") from e
    wanted = module.state_dict()
    shared = wanted.keys() & given.keys()
    problems = {
        "missing": sorted(wanted.keys() - shared),
        "unexpected": sorted(given.keys() - shared),
        "of another shape": [
            f"{key} {tuple(given[key].shape)} instead of {tuple(wanted[key].shape)}"
            for key in sorted(shared)
            if given[key].shape != wanted[key].shape
        ],
    }
    if any(problems.values()):
        what = "; ".join(f"{len(keys)} {how}: {_first_few(keys)}" for how, keys in problems.items() if keys)
        fix = (
            f"set the kind, size and classes of network that they belong to; this is {type(module).__name__}"
        )
        raise DataError(what, where=str(path), fix=fix)
    broken = sorted(key for key, value in given.items() if not torch.isfinite(value).all())
    if broken:
        what = f"{len(broken)} tensors hold numbers that are not finite: {_first_few(broken)}"
        raise DataError(what, where=str(path), fix="give weights of a training that did not diverge")
    module.load_state_dict(given)


def storable(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return copies as safetensors stores them: on the CPU, contiguous, none for two layers at once."""
    return {
        name: tensor.detach().cpu().clone(memory_format=torch.contiguous_format)
        for name, tensor in tensors.items()
    }


def _first_few(keys: list[str]) -> str:
    return ", ".join(keys[:3]) + (", ..." if len(keys) > 3 else "")
