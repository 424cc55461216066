"""An engine in the folder of a run, as its report describes it."""

from dataclasses import dataclass
from pathlib import Path

from edgekd.core.atomic import file_sha256
from edgekd.device.latency import Speedup
from edgekd.device.local import LocalDevice
from edgekd.errors import StoreError
from edgekd.gate.subject import Subject
from edgekd.report.schema import Report
from edgekd.report.target_schema import Coverage, Fidelity, Native, TargetReport
from edgekd.runtimes.host import KNOWN
from edgekd.tasks.metric import Metric

REPORT = "report.json"


@dataclass(frozen=True)
class RunSubject(Subject):
    """An engine in the folder of a run.

    Attributes:
        report: Of the run.
        target: The engine's part of it.
    """

    report: Report
    target: TargetReport

    @property
    def not_run(self) -> str:
        """Return what the report says."""
        return self.target.not_run

    @property
    def exact(self) -> bool:
        """Return what the report says."""
        return self.target.least_agreement is None

    def size_bytes(self) -> int:
        """Return what the report says."""
        return self.target.size_bytes

    def download_bytes(self) -> int:
        """Return what the report says."""
        return self.target.download_bytes

    def metric(self) -> Metric:
        """Return what the report says."""
        return self.target.metric

    def coverage(self) -> Coverage:
        """Return what the report says."""
        return self.target.coverage

    def fidelity(self) -> Fidelity:
        """Return what the report says."""
        return self.target.fidelity

    def native(self) -> Native:
        """Return what the report says.

        Raises:
            NotApplicableError: If its device is not emulated.
        """
        if self.target.native is None:
            what = f"whether it computes the same bits as this machine: its device is {self.target.device}"
            fix = "name an engine for an emulated device in the gate's target, or leave the limit out"
            self.refuse(what, fix=fix)
        return self.target.native

    def engine_path(self) -> Path:
        """Return the engine beside the report.

        Raises:
            NotApplicableError: If this machine cannot time such an engine.
            StoreError: If the folder holds the report alone.
        """
        here, runtime = LocalDevice().kind, KNOWN.get(self.kind)
        if self.target.device != here or runtime is None or runtime.makes_engines:
            what = f"its time on this machine: it is for {self.kind} on the device {self.target.device}"
            fix = "limit min_speedup_over_..., which its run timed there; or name another target in the gate"
            self.refuse(what, fix=fix)
        path = self.where / self.name
        if not path.is_file():
            what = f"the folder has {REPORT} but not its engine {self.name}: there is nothing to time"
            fix = (
                "keep the engine beside the report, as an artifact of the run: milliseconds stored on another"
                " machine, or at another time, say nothing here, so both engines are timed now, in turns"
            )
            raise StoreError(what, where=str(self.where), fix=fix)
        return path

    def float_metric(self) -> Metric:
        """Return what the report says."""
        return self.report.student.metric_float

    def agreement(self) -> float:
        """Return what the report says.

        Raises:
            NotApplicableError: If its task knows no such thing.
        """
        if self.target.agreement_top1 is None:
            what = "how often it agrees with the trained student: its task knows no such thing"
            self.refuse(what, fix="leave the gate out")
        return self.target.agreement_top1

    def speedup(self, over: str) -> Speedup:
        """Return what the report says.

        Raises:
            NotApplicableError: If the run did not time the two.
        """
        found = {baseline.name: baseline.speedup for baseline in self.target.baselines}
        if over not in found:
            timed = ", ".join(found) or "nothing"
            what = f"how much faster than {over} it is: its run timed it against {timed}"
            instead = "limit the speed over one of those, or " if found else ""
            self.refuse(what, fix=f"{instead}name another target in the gate, or leave the limit out")
        return next(speedup for name, speedup in found.items() if name == over)


def run_subjects(folder: Path) -> tuple[RunSubject, ...]:
    """Return every engine of a run.

    Raises:
        StoreError: If the report cannot be read, or an engine beside it is not the one that it describes.
    """
    report = Report.load(folder / REPORT)
    for target in report.targets:
        _check_engine(folder, target)
    return tuple(
        RunSubject(target.model_path, target.kind, folder, _threads(target), report, target)
        for target in report.targets
    )


def _threads(target: TargetReport) -> int:
    """Return how many threads the run timed with; 1 where it did not."""
    latency = target.latency_ms
    return latency.threads if latency else 1


def _check_engine(folder: Path, target: TargetReport) -> None:
    path = folder / target.model_path
    if not path.is_file():
        return  # what needs the file says so
    same = path.stat().st_size == target.size_bytes
    if not same or (target.model_sha256 and file_sha256(path) != target.model_sha256):
        what = f"{target.model_path} is not the engine that {REPORT} describes"
        fix = "take both from the same run; edgekd compress writes them together"
        raise StoreError(what, where=str(folder), fix=fix)
