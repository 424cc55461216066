"""Models side by side with made-up inputs: what the verb ``bench`` measures."""

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from edgekd.errors import DataError
from edgekd.runtimes.random_inputs import TRIED, FreeSizes, random_feeds
from edgekd.runtimes.session import Tensors
from edgekd.runtimes.target import TargetSpec
from edgekd.runtimes.trial import try_model


class MadeUp(NamedTuple):
    """Inputs for models that are timed side by side.

    Attributes:
        feeds: By name of the model. Models that take the same shapes and types get the same values.
        differences: In which way others do not take what the first takes.
    """

    feeds: dict[str, Tensors]
    differences: tuple[str, ...]


def made_up_feeds(models: Mapping[str, Path], *, target: TargetSpec, batch: int, seed: int) -> MadeUp:
    """Try every model once in a process of its own and return random inputs for all.

    Args:
        models: ONNX files, by name.
        target: A runtime that reads them.
        batch: For first dimensions that are free. Height and width that are free are the same in all models,
            if they run with it.
        seed: Of the values.

    Raises:
        BuildError: If a model does not run.
        DataError: If the models take batches of different sizes, or what cannot be made up.
    """
    tried = tuple(dict.fromkeys(FreeSizes(batch, sizes.side) for sizes in TRIED))
    feeds: dict[str, Tensors] = {}
    for name, path in models.items():
        sizes = try_model(path, target=target, tried=tried, inside=False)
        tried = (sizes, *(other for other in tried if other != sizes))
        with target.open(path) as session:
            feeds[name] = random_feeds(session.inputs, sizes, seed=seed, where=str(path))
    _check_batches(feeds)
    first, *others = feeds
    differences = [
        f"{name} takes {_shapes(feeds[name])}, not {_shapes(feeds[first])}"
        for name in others
        if _shapes(feeds[name]) != _shapes(feeds[first])
    ]
    return MadeUp(feeds, tuple(differences))


def _check_batches(feeds: Mapping[str, Tensors]) -> None:
    batches = {
        name: next((value.shape[0] for value in tensors.values() if value.ndim > 1), 1)
        for name, tensors in feeds.items()
    }
    (first, size), *others = batches.items()
    for name, other in others:
        if other != size:
            what = f"{first} takes {size} samples at once, {name} takes {other}: their times say nothing"
            fix = "export both with the same or with a free first dimension, which --batch sets"
            raise DataError(what, where=name, fix=fix)


def _shapes(tensors: Tensors) -> str:
    return " and ".join(f"{value.dtype} {'x'.join(map(str, value.shape))}" for value in tensors.values())
