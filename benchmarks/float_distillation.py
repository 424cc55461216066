"""The float student, distilled as a pipeline distils its quantized one: what the bits cost.

The same phases, seed and data from the same float student, without quantizers. A run that is interrupted goes
on; one that is complete begins anew. One row per seed, with the metric on the test split, which nothing
decides on, and which of its images were answered right, to compare with the pipeline's engine.
"""

import shutil
import time
from dataclasses import asdict
from pathlib import Path

from benchmarks.answers import packed
from benchmarks.rows import append_row
from benchmarks.seeds import pipelines_by_seed, seconds_since
from edgekd.core.store import Store, default_store_root
from edgekd.pipeline import start as start_of
from edgekd.pipeline import survey
from edgekd.spec import Pipeline
from edgekd.teacher.several import load_heard
from edgekd.train.batchnorm import reestimate_batchnorm
from edgekd.train.checkpoint import EpochRecord
from edgekd.train.evaluate import predict, validation_metric
from edgekd.train.loop import Trainee, train
from edgekd.zoo.student import student_network


def main() -> None:
    for spec, run in pipelines_by_seed(__doc__ or "", module="float_distillation"):
        start = time.perf_counter()
        float_student, trainee = _trainee(spec)
        scratch = Path("runs") / "float_distillation" / spec.digest
        history = _distil(spec, trainee, scratch)
        test = spec.data.split("test")
        outputs = predict(trainee.student, test)
        distilled = spec.task.score(outputs, test.labels)
        append_row(
            "float_distillation",
            {
                **run,
                "epochs": len(history),
                "metric": {"float": float_student, "float_distilled": distilled.model_dump()},
                "wall_seconds": seconds_since(start),
                "history": [asdict(record) for record in history],
                "right": packed(spec.task.correct(outputs, test.labels)),
            },
        )
        shutil.rmtree(scratch)


def _trainee(spec: Pipeline) -> tuple[dict[str, object], Trainee]:
    """Return the float student's metric, and what a pipeline's run would start with."""
    assert spec.distill.student_start == spec.distill.teacher_start == "given", "random starts are not floats"
    taught_by, arch, start = start_of(spec, survey(spec)[0], Store(default_store_root(), announce=print))
    info = spec.data.info()
    assert taught_by.heard and taught_by.heard_spec, "this pipeline has no teacher"
    student = student_network(spec.student, arch, info)
    start.load_into(student)
    teaching = load_heard(taught_by.heard, taught_by.heard_spec, info, heard_at=spec.distill.heard_at)
    trainee = Trainee(student, teaching, spec.data.split("train"), validation_metric(spec.data, spec.task))
    return start.facts().metric.model_dump(), trainee


def _distil(spec: Pipeline, trainee: Trainee, scratch: Path) -> list[EpochRecord]:
    training = spec.training
    scratch.mkdir(parents=True, exist_ok=True)
    history = train(trainee, spec.distill.phases(spec.task), training, seed=spec.seed, scratch=scratch)
    reestimate_batchnorm(
        trainee.student,
        trainee.train,
        batch_size=training.batch_size,
        augment=training.augment,
        seed=spec.seed,
    )
    return history


if __name__ == "__main__":
    main()
