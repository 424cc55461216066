"""An engine to judge and the one that it is compared with, timed side by side where a gate asks for it."""

from dataclasses import dataclass

from edgekd.device.latency import Measurement
from edgekd.device.local import LocalDevice
from edgekd.errors import SpecError
from edgekd.gate.subject import Subject
from edgekd.runtimes.onnx_runtime_target import OnnxRuntimeTarget
from edgekd.runtimes.random_inputs import random_input
from edgekd.runtimes.session import Tensors, fitting
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

    def measure(self, baseline: Subject | None) -> Measurement:
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
        taken = [f"{value.dtype} {value.shape}" for example in examples for value in example.values()]
        if len(set(taken)) > 1:
            what = f"the engine and its baseline take different inputs: {' and '.join(taken)}"
            fix = "compare engines for the same images, or leave the limit out"
            raise SpecError(what, where=str(self.subject.where), fix=fix)
        feeds = dict(zip(models, examples, strict=True))
        with LocalDevice().connect() as device:
            return device.measure(models, feeds, seed=0)


def _example(model: BuiltModel) -> Tensors:
    """Return one input by name, after a first run elsewhere: an engine may come from anywhere."""
    sizes = try_model(model.path, threads=model.target.threads)
    with model.open() as session:
        if len(session.inputs) != 1:
            what = f"the engine takes {len(session.inputs)} inputs; one that is timed takes one"
            raise SpecError(what, where=str(model.path), fix="leave out the limits on its time")
        example = random_input(session.inputs[0], sizes, where=str(model.path))
        return {session.inputs[0].name: fitting(example, session.fixed_batch or 1)}
