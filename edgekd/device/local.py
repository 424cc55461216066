"""The device ``local``: this machine."""

from collections.abc import Mapping
from contextlib import ExitStack
from functools import partial
from typing import Any, Literal

from numpy.typing import NDArray

from edgekd.core.progress import progress
from edgekd.core.spec_base import Spec
from edgekd.device.latency import LatencySamples, measure_interleaved
from edgekd.runtimes.target import BuiltModel

ROUNDS = 40


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
            seed: Of the order within each round.
        """
        with ExitStack() as stack, progress("measure latency", ROUNDS) as advance:
            sessions = {name: stack.enter_context(model.open()) for name, model in models.items()}
            runs = {
                name: partial(session.run, {session.inputs[0].name: example})
                for name, session in sessions.items()
            }
            return measure_interleaved(runs, rounds=ROUNDS, seed=seed, on_round=lambda done, total: advance())
