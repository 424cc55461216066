"""The device ``local``: this machine."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from numpy.typing import NDArray

from edgekd.core.progress import progress
from edgekd.core.spec_base import Spec
from edgekd.device.latency import LatencySamples, measure_interleaved
from edgekd.runtimes.onnx_runtime import open_session

ROUNDS = 40


class LocalDevice(Spec):
    """This machine."""

    kind: Literal["local"] = "local"

    def measure(
        self, models: Mapping[str, Path], example: NDArray[Any], *, threads: int, seed: int
    ) -> dict[str, LatencySamples]:
        """Time single inferences of several models, interleaved in one run.

        Args:
            models: ONNX files by name; they share their input.
            example: One input batch.
            threads: Threads of one inference.
            seed: Of the order within each round.
        """
        runs = {}
        for name, path in models.items():
            session = open_session(path, threads=threads)
            feeds = {session.get_inputs()[0].name: example}
            runs[name] = lambda session=session, feeds=feeds: session.run(None, feeds)
        with progress("measure latency", ROUNDS) as advance:
            return measure_interleaved(runs, rounds=ROUNDS, seed=seed, on_round=lambda done, total: advance())
