"""The device ``local``: this machine."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import Any, Literal

from numpy.typing import NDArray

from edgekd.core.progress import progress
from edgekd.core.spec_base import Spec
from edgekd.device.latency import LatencySamples, Run, measure_interleaved
from edgekd.runtimes.target import BuiltModel

SESSIONS, ROUNDS = 8, 5


class LocalDevice(Spec):
    """This machine."""

    kind: Literal["local"] = "local"

    def measure(
        self, models: Mapping[str, BuiltModel], example: NDArray[Any], *, seed: int
    ) -> dict[str, LatencySamples]:
        """Time single inferences of several models, interleaved in one run.

        Args:
            models: By name; they share their input.
            example: One input batch.
            seed: Of the order within each session and round.
        """
        engines = {name: partial(_open, model, example) for name, model in models.items()}
        with progress("measure latency", SESSIONS * ROUNDS) as advance:
            return measure_interleaved(
                engines,
                sessions=SESSIONS,
                rounds=ROUNDS,
                seed=seed,
                on_round=lambda done, total: advance(),
            )


@contextmanager
def _open(model: BuiltModel, example: NDArray[Any]) -> Iterator[Run]:
    with model.open() as session:
        yield partial(session.run, {session.inputs[0].name: example})
