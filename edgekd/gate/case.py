"""An engine to judge and the one that it is compared with, timed side by side where a gate asks for it."""

from dataclasses import dataclass, field

from edgekd.device.bench import made_up_feeds
from edgekd.device.latency import Measurement
from edgekd.device.local import LocalDevice
from edgekd.errors import SpecError
from edgekd.gate.subject import NotApplicableError, Subject
from edgekd.runtimes.target import BuiltModel
from edgekd.runtimes.targets import target_of_kind

ENGINE, BASELINE = "engine", "baseline"


@dataclass(frozen=True)
class Case:
    """What a gate is handed.

    Attributes:
        subject: The engine to judge.
        baseline: The engine that it is compared with; None if there is none.
        timed: What `measure` found, by what was timed.
    """

    subject: Subject
    baseline: Subject | None = None
    timed: dict[tuple[str, ...], Measurement] = field(default_factory=dict, compare=False)

    def against(self, limit: str) -> Subject:
        """Return the baseline.

        Args:
            limit: What asks for it, for the message.

        Raises:
            NotApplicableError: If there is none.
        """
        if self.baseline is None:
            what = f"{limit} compares with a baseline, and there is none for {self.subject.name}"
            fix = "name an earlier run or model with --baseline, or leave the limit out"
            raise NotApplicableError(what, where=str(self.subject.where), fix=fix)
        return self.baseline

    def measure(self, baseline: Subject | None) -> Measurement:
        """Time the engine, and a baseline in turns with it, now and on this machine, as ``bench`` does.

        Inputs are random: the time of integer kernels does not depend on them. What was timed for another
        limit is not timed again.

        Raises:
            SpecError: If they do not take the same input.
        """
        known = next(
            (found for names, found in self.timed.items() if baseline is None or BASELINE in names), None
        )
        return known or self._measure(baseline)

    def _measure(self, baseline: Subject | None) -> Measurement:
        paths = {ENGINE: self.subject.engine_path()}
        if baseline is not None:
            paths[BASELINE] = baseline.engine_path()
        target = target_of_kind(self.subject.kind, threads=self.subject.threads)
        made_up = made_up_feeds(paths, target=target, batch=1, seed=0)
        if made_up.differences:
            what = f"the engine and its baseline take different inputs: {made_up.differences[0]}"
            fix = "compare engines for the same images, or leave the limit out"
            raise SpecError(what, where=str(self.subject.where), fix=fix)
        models = {name: BuiltModel(target, path) for name, path in paths.items()}
        with LocalDevice().connect() as device:
            self.timed[tuple(models)] = found = device.measure(models, made_up.feeds, seed=0)
        return found
