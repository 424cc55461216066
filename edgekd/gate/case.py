"""An engine to judge and the one that it is compared with, timed side by side where a gate asks for it."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgekd.device.latency import LatencySamples
from edgekd.device.local import LocalDevice
from edgekd.errors import SpecError
from edgekd.gate.subject import Subject
from edgekd.runtimes.onnx_runtime_target import OnnxRuntimeTarget
from edgekd.runtimes.random_inputs import random_input
from edgekd.runtimes.session import fitting
from edgekd.runtimes.target import BuiltModel
from edgekd.runtimes.trial import try_model

ENGINE, BASELINE = "engine", "baseline"


@dataclass(frozen=True)
class Case:
    """What a gate is handed.

    Attributes:
        subject: The engine to judge.
        baseline: The engine that it is compared with; None if there is none.
    """

    subject: Subject
    baseline: Subject | None = None

    def against(self, limit: str) -> Subject:
        """Return the baseline.

        Args:
            limit: What asks for it, for the message.

        Raises:
            SpecError: If there is none.
        """
        if self.baseline is None:
            what = f"{limit} compares with a baseline, and there is none for {self.subject.name}"
            fix = "name an earlier run or model with --baseline, or leave the limit out"
            raise SpecError(what, where=str(self.subject.where), fix=fix)
        return self.baseline

    def measure(self, baseline: Subject | None) -> dict[str, LatencySamples]:
        """Time the engine, and a baseline in turns with it, now and on this machine.

        Pixels are random: the time of integer kernels does not depend on them.

        Raises:
            SpecError: If they do not take the same input.
        """
        target = OnnxRuntimeTarget(threads=self.subject.threads)
        models = {ENGINE: BuiltModel(target, self.subject.engine_path())}
        if baseline is not None:
            models[BASELINE] = BuiltModel(target, baseline.engine_path())
        examples = [_example(model) for model in models.values()]
        if len({(example.shape, example.dtype) for example in examples}) > 1:
            taken = " and ".join(f"{example.dtype} {example.shape}" for example in examples)
            what = f"the engine and its baseline take different inputs: {taken}"
            fix = "compare engines for the same images, or leave the limit out"
            raise SpecError(what, where=str(self.subject.where), fix=fix)
        return LocalDevice().measure(models, examples[0], seed=0)


def _example(model: BuiltModel) -> NDArray[np.generic]:
    """Return one input, after a first run elsewhere: an engine may come from anywhere."""
    sizes = try_model(model.path, threads=model.target.threads)
    with model.open() as session:
        if len(session.inputs) != 1:
            what = f"the engine takes {len(session.inputs)} inputs; one that is timed takes one"
            raise SpecError(what, where=str(model.path), fix="leave out the limits on its time")
        example = random_input(session.inputs[0], sizes, where=str(model.path))
        return fitting(example, session.fixed_batch or 1)
