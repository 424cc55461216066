"""A model file alone: what it is, is found out now."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, NoReturn

from edgekd.core.statistics import wilson_interval
from edgekd.data.dataset import DataSpec
from edgekd.device.latency import Speedup
from edgekd.gate.subject import Subject
from edgekd.report import measured
from edgekd.report.target_schema import Coverage, Fidelity, Native
from edgekd.runtimes.external_data import external_data, file_bytes
from edgekd.runtimes.onnx_runtime_target import OnnxRuntimeTarget
from edgekd.runtimes.trial import try_model
from edgekd.tasks.classification import ClassificationSpec
from edgekd.tasks.metric import Metric
from edgekd.verify.verify import Verified, model_file, sized_for, verify
from edgekd.verify.verify_engine import download_bytes


@dataclass(frozen=True)
class Scoring:
    """How a model file is looked into.

    Attributes:
        data: Whose test split it is scored on; None scores nothing.
        mean: What a float model's images are normalized with, per channel, as a fraction of 255.
        std: The same.
        threads: Threads of one inference.
    """

    data: DataSpec | None = None
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()
    threads: int = 1


@dataclass(frozen=True)
class ModelSubject(Subject):
    """An ONNX file, or a folder of ``edgekd.export``."""

    scoring: Scoring

    @classmethod
    def at(cls, path: Path, scoring: Scoring) -> "ModelSubject":
        """Return the model that ``path`` means, see `model_file`."""
        return cls(model_file(path).name, OnnxRuntimeTarget().kind, path, scoring.threads, scoring)

    def size_bytes(self) -> int:
        """Return the size of the file, and of those that it keeps weights in."""
        return file_bytes(model_file(self.where))

    def download_bytes(self) -> int:
        """Return the size of these files when compressed."""
        path = model_file(self.where)
        return sum(download_bytes(file) for file in (path, *external_data(path)))

    def metric(self) -> Metric:
        """Return top-1 on the test split of the data.

        Raises:
            SpecError: If there are no data, or the model is no classifier of them.
        """
        found = self._verified
        if found.top1 is None:
            fix = "name the data that it was made for with --data, or leave the limit out"
            if found.not_scored:
                fix = "give what is missing, or leave the limit out"
            what = f"its accuracy: {found.not_scored or 'no data were given'}"
            self.refuse(what, fix=fix)
        interval = wilson_interval(round(found.top1 * found.n), found.n)
        name = ClassificationSpec().metric_name
        return Metric(name=name, value=found.top1, ci95=interval, n=found.n)

    def coverage(self) -> Coverage:
        """Return which of its operators run in integers."""
        return measured.coverage(self._verified.faithfulness)

    def fidelity(self) -> Fidelity:
        """Return its operators against exact arithmetic; layers are compared in a folder of `export` only."""
        return measured.fidelity(self._verified.faithfulness)

    def native(self) -> Native:
        """Refuse: a file alone runs on this machine."""
        self._has_no_run("what an emulated CPU makes of it")

    def engine_path(self) -> Path:
        """Return the file."""
        return model_file(self.where)

    def float_metric(self) -> Metric:
        """Refuse: no float student belongs to a file."""
        self._has_no_run("what accuracy its float student has")

    def agreement(self) -> float:
        """Refuse: no trained student belongs to a file."""
        self._has_no_run("how often it agrees with the trained student")

    def speedup(self, over: str) -> Speedup:
        """Refuse: a file was timed against nothing."""
        self._has_no_run(f"how much faster than {over} it is")

    def _has_no_run(self, what: str) -> NoReturn:
        fix = "give the folder that edgekd compress wrote, or leave the limit out"
        self.refuse(f"{what}: it is a model file alone", fix=fix)

    @cached_property
    def _verified(self) -> Verified:
        scoring, given = self.scoring, dict[str, Any]()
        free_sizes = try_model(model_file(self.where), target=OnnxRuntimeTarget(threads=self.threads))
        if scoring.data is not None:
            source = sized_for(self.where, scoring.data)
            test = source.split("test")
            given = {"images": test.images, "labels": test.labels, "classes": len(source.info().class_names)}
        target = OnnxRuntimeTarget(threads=self.threads)
        return verify(
            self.where, **given, mean=scoring.mean, std=scoring.std, target=target, free_sizes=free_sizes
        )
