"""Two teachers, heard as one by an assistant, which teaches the student."""

from collections.abc import Callable
from pathlib import Path

from edgekd.core.plan import Planner
from edgekd.core.store import Store
from edgekd.report.schema import Report
from edgekd.spec import load_pipeline
from edgekd.teachers import teach

TINY = Path(__file__).parents[1] / "specs" / "tiny.yaml"
TRAINING = "training: {epochs: 1, learning_rate: 0.05}"
TWIN = f"teacher.others=[{{network: {{kind: resnet_cifar, depth: 14}}, {TRAINING}, share: 3}}]"
ASSISTANT = f"teacher.assistants=[{{network: {{kind: resnet_cifar, depth: 8}}, {TRAINING}}}]"


def test_two_teachers_and_an_assistant_teach_a_student(
    again: Callable[..., Report], store_copy: Path
) -> None:
    report = again(TWIN, ASSISTANT)
    ran = [stage.name for stage in report.stages if not stage.cached]
    learned = [name for name in ran if name.startswith(("export_teacher", "train", "distill"))]
    assert learned == ["export_teacher", "train_assistant", "distill_student"]
    assert report.lineage == "resnet14 + resnet14 to resnet8 to resnet8"
    teacher, (other,), (assistant,) = report.teacher, report.other_teachers, report.assistants
    assert teacher is not None
    assert (teacher.share, other.share) == (0.25, 0.75)
    assert teacher.metric != other.metric  # trained with another seed: it is another one
    assert assistant.params < teacher.params
    assert assistant.metric.value > 0.2
    assert [record.phase for record in report.student.history] == [
        "train teacher",
        "train teacher 2",
        "assistant resnet8",
        "train student",
        "distil",
    ]
    for change, runs in {
        "distill.temperature=3.0": 0,  # of the student alone
        "teacher.mirrored=true": 1,
        "teacher.others.0.share=2": 1,
        "teacher.assistants.0.alpha=0.5": 1,
    }.items():
        planner = Planner(Store(store_copy, pipeline="tiny"))
        teach(load_pipeline(TINY, (TWIN, ASSISTANT, change)), planner)
        assert [record.name for record in planner.records if not record.cached] == ["train_assistant"] * runs
