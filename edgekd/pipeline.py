"""The pipeline is a function: from a spec to a report, top to bottom."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

import yaml

from edgekd.advice import user_functions
from edgekd.core.plan import Planner
from edgekd.core.profile import PROFILES
from edgekd.core.progress import note
from edgekd.core.store import Runner, Store
from edgekd.data.batches import batches_per_epoch
from edgekd.data.dataset import SPLITS
from edgekd.device.build_engine import build_engine
from edgekd.device.local import LocalDevice
from edgekd.device.place import Place, place_of
from edgekd.distill.distill_student import DistilledStudent, distill_student
from edgekd.distill.quantize_student import PtqStudent, quantize_student
from edgekd.errors import BuildError, LowerError, RuntimeMissing, SpecError
from edgekd.export.export_marked import export_marked
from edgekd.export.float_network import FloatStudent
from edgekd.lower.marked import MarkedOnnx
from edgekd.quant.student import QuantStudent
from edgekd.report.publish import check_run_folder, publish
from edgekd.report.schema import Report
from edgekd.results import Results, TargetResults, build_report, engine_name
from edgekd.runtimes.host import Host
from edgekd.runtimes.onnx_runtime_target import OnnxRuntimeTarget
from edgekd.runtimes.stages import Engine, TargetOnnx, lower_for, write_lowered
from edgekd.runtimes.target import BuiltModel
from edgekd.runtimes.targets import runnable
from edgekd.search.feasible import must_fit, must_run
from edgekd.search.given_student import given_student
from edgekd.search.latency_table import identity_of
from edgekd.search.record import SearchRecord
from edgekd.search.search import Teaching
from edgekd.search.search_spec import SearchStudentSpec
from edgekd.search.search_student import FoundStudent, check_search, join, search_student
from edgekd.search.train_student import train_student
from edgekd.spec import Pipeline
from edgekd.teachers import GIVEN, Teachers, teach
from edgekd.train.ranks import check_devices
from edgekd.try_networks import try_networks
from edgekd.unions import Target
from edgekd.verify.verify_engine import verify_engine, verify_graph
from edgekd.zoo.student import StudentArch


@dataclass(frozen=True)
class BuiltTarget:
    """One target's artifacts.

    Attributes:
        lowered: The distilled student in the target's dialect.
        engine: What the runtime loads; None where it cannot be built.
        ptq: The student before training, the baseline; None where nothing is trained.
    """

    lowered: TargetOnnx
    engine: Engine | None
    ptq: "BuiltTarget | None" = None


@dataclass(frozen=True)
class Built:
    """Every artifact of a run, in the order in which it is made."""

    teachers: Teachers
    arch: StudentArch
    float_student: FloatStudent
    ptq: PtqStudent
    student: QuantStudent
    marked: MarkedOnnx
    targets: tuple[BuiltTarget, ...]


def survey(spec: Pipeline) -> tuple[Place, ...]:
    """Ask the device of every target what it is, in their order.

    Raises:
        DeviceError: If one does not answer.
        RuntimeMissing: If a package is not installed without which nothing of a target can be measured.
    """
    places = tuple(_place(target) for target in spec.targets)
    for target, place in zip(spec.targets, places, strict=True):
        if target.device != LocalDevice():
            note(str(place))
    return places


def _place(target: Target) -> Place:
    try:
        return place_of(target, target.device)
    except RuntimeMissing as e:
        raise RuntimeMissing(e.what, where=f"the target {target.kind}", fix=e.fix) from e


def idle_notes(spec: Pipeline, places: Sequence[Place]) -> list[str]:
    """Say which engines will not be built or run, why, and how they could be."""
    return [
        f"{target.kind} will not be {'built' if place.not_built else 'run'}: {place.not_run}"
        for target, place in zip(spec.targets, places, strict=True)
        if place.not_run
    ]


def build(spec: Pipeline, places: Sequence[Place], run: Runner) -> Built:
    """Make, or find, every artifact: teachers -> student -> marks -> engines.

    Args:
        spec: The pipeline file.
        places: What each target's engine is built for, from `survey`.
        run: A store, which executes stages, or a planner, which only says which would run.
    """
    data, task, training, seed = spec.data, spec.task, spec.training, spec.seed
    _check_sizes(spec)
    teachers, arch, float_student = start(spec, places[0], run)
    ptq = run.run(quantize_student, float_student, spec.student, arch, spec.quantize, data, task)
    # Before the student is trained, which is when a user wants to know what cannot be built:
    ptq_marked = run.run(export_marked, ptq, arch, spec.student, spec.quantize, data)
    ptq_targets = _build_targets(spec, places, ptq_marked, run)
    if not spec.distill.phases(task):
        return Built(teachers, arch, float_student, ptq, ptq, ptq_marked, ptq_targets)
    student = run.run(
        distill_student, ptq, spec.student, arch, teachers.heard, teachers.heard_spec, spec.quantize,
        spec.distill, data, task, training, seed,
    )  # fmt: skip
    marked = run.run(export_marked, student, arch, spec.student, spec.quantize, data)
    targets = tuple(
        replace(trained, ptq=untrained)
        for trained, untrained in zip(_build_targets(spec, places, marked, run), ptq_targets, strict=True)
    )
    return Built(teachers, arch, float_student, ptq, student, marked, targets)


def _check_sizes(spec: Pipeline) -> None:
    """Say what the data are too small for; missing data are named first, with what fetches them."""
    info = spec.data.info()
    spec.training.augment.check_size(info.height, info.width)
    train_rows = spec.data.train_rows()
    if train_rows is not None:
        spec.quantize.calibration.check_samples(train_rows)
        if spec.distill.phases(spec.task):
            batches_per_epoch(train_rows, batch_size=spec.training.batch_size)


def start(spec: Pipeline, place: Place, run: Runner) -> tuple[Teachers, StudentArch, FloatStudent]:
    """Make, or find, what quantization and distillation start from.

    Args:
        spec: The pipeline file.
        place: Where the first target runs: what a search measures students on.
        run: As in `build`.
    """
    teachers = teach(spec, run)
    arch = find_architecture(spec, teachers, place, run)
    trained = (spec.training, spec.seed) if spec.student.label_schedule else GIVEN
    return teachers, arch, run.run(train_student, spec.student, arch, spec.data, spec.task, *trained)


def find_architecture(spec: Pipeline, teachers: Teachers, place: Place, run: Runner) -> StudentArch:
    """Return the student's architecture: the given one, or what a search on the first target finds."""
    student = spec.student
    if not isinstance(student, SearchStudentSpec):
        return run.run(given_student, student)
    target = spec.targets[0].anywhere()
    return run.run(
        search_student, student, *teachers.imitated, spec.quantize, spec.data, spec.task,
        spec.training, spec.seed, target, place, identity_of(place),
    )  # fmt: skip


def _build_targets(
    spec: Pipeline, places: Sequence[Place], marked: MarkedOnnx, run: Runner
) -> tuple[BuiltTarget, ...]:
    return tuple(
        _build_target(spec, target, place, marked, run)
        for target, place in zip(spec.targets, places, strict=True)
    )


def _build_target(
    spec: Pipeline, target: Target, place: Place, marked: MarkedOnnx, run: Runner
) -> BuiltTarget:
    anywhere = target.anywhere()
    lowered = run.run(lower_for, anywhere, marked, engine_metadata(spec), place.runtime_version)
    engine = None if place.not_built else run.run(build_engine, anywhere, lowered, place)
    return BuiltTarget(lowered, engine)


def search(spec: Pipeline, store: Store) -> SearchRecord:
    """Find the student and nothing more: what the verb ``search`` runs, and `compress` finds again.

    Raises:
        SpecError: If the student is given, or none keeps the limits.
    """
    place = _fail_early_in_search(spec, store)
    arch = find_architecture(spec, teach(spec, store), place, store)
    assert isinstance(arch, FoundStudent)
    return arch.record()


def join_search(spec: Pipeline, store: Store) -> None:
    """Work on the trials of a search that several processes share, until all of them are finished.

    Raises:
        SpecError: If the student is given, or its study is not shared.
    """
    if isinstance(spec.student, SearchStudentSpec) and not spec.student.storage:
        what = "a worker joins a study that a database keeps, and student.storage names none"
        raise SpecError(what, where="student.storage", fix="set it to postgresql://USER@HOST/DATABASE")
    place = _fail_early_in_search(spec, store)
    teachers, target = teach(spec, store), spec.targets[0].anywhere()
    teaching = Teaching(
        *teachers.imitated, spec.quantize, spec.data, spec.task, spec.training, spec.seed
    )  # fmt: skip
    assert isinstance(spec.student, SearchStudentSpec)
    join(spec.student, teaching, target, place, store)
    store.finish()


def _fail_early_in_search(spec: Pipeline, store: Store) -> Place:
    if not isinstance(spec.student, SearchStudentSpec):
        what = f"the student of {spec.name} is given: there is nothing to search"
        fix = "set student.kind to search, with a space and limits"
        raise SpecError(what, where="student.kind", fix=fix)
    store.check_writable()
    check_devices(store.devices, batch_size=spec.training.batch_size)
    _check_sizes(spec)
    place = survey(spec)[0]
    check_limits(spec, place)
    check_search(spec.student, spec.data)
    try_networks(spec)
    return place


def check_limits(spec: Pipeline, place: Place, *, run_code: bool = True) -> None:
    """Say what a search is refused for that its file and its device alone decide.

    Args:
        spec: The pipeline file; nothing is said of a given student.
        place: The device of the first target.
        run_code: Whether networks that the user's own code builds may be built.

    Raises:
        SpecError: If the device cannot run what is searched, or the smallest network has too many
            multiply-accumulates.
    """
    student = spec.student
    if isinstance(student, SearchStudentSpec):
        must_run(place)
        if run_code or not user_functions(spec):
            multiple = PROFILES[spec.quantize.profile].channel_multiple
            must_fit(student, spec.data.info(), multiple=multiple)


def compress(spec: Pipeline, store: Store, *, runs: Path, command: str) -> Report:
    """Run the whole pipeline and write ``runs/NAME/``: engines, report.json, report.html, the resolved spec.

    Args:
        spec: The pipeline file.
        store: Where artifacts live.
        runs: Folder of all runs.
        command: What a person types to do this again.

    Returns:
        The report, as it was written.
    """
    places = _fail_early(spec, store, runs / spec.name)
    built = build(spec, places, store)
    targets = tuple(_verify(spec, built, index, places[index]) for index in range(len(spec.targets)))
    store.finish()
    results = Results(
        spec=spec,
        teachers=built.teachers.given,
        assistants=built.teachers.assistants,
        search=built.arch.record() if isinstance(built.arch, FoundStudent) else None,
        float_student=built.float_student,
        ptq=built.ptq,
        history=built.student.history() if isinstance(built.student, DistilledStudent) else [],
        marked=built.marked,
        targets=targets,
        stages=tuple(store.records),
        command=command,
    )
    report = build_report(results)
    publish(
        report,
        engines={name: path for done in targets for name, path in done.files.items()},
        spec_yaml=yaml.safe_dump(spec.model_dump(mode="json"), sort_keys=False),
        folder=runs / spec.name,
    )
    return report


def _fail_early(spec: Pipeline, store: Store, folder: Path) -> tuple[Place, ...]:
    """Say what is missing or does not fit before the long work starts; return the devices' answers."""
    check_run_folder(folder)
    store.check_writable()
    check_devices(store.devices, batch_size=spec.training.batch_size)
    places, plan = survey(spec), Planner(store)
    for idle in idle_notes(spec, places):
        note(idle)
    build(spec, places, plan)
    if not all(record.cached for record in plan.records):
        check_limits(spec, places[0])
        if isinstance(spec.student, SearchStudentSpec):
            check_search(spec.student, spec.data)
        for name in SPLITS:
            spec.task.check_labels(spec.data.split(name).labels)
        spec.quantize.calibration.images(spec.data)
        try_networks(spec)
    return places


def _verify(spec: Pipeline, built: Built, index: int, place: Place) -> TargetResults:
    target, made = spec.targets[index], built.targets[index]
    with target.device.connect() as device, TemporaryDirectory(prefix="edgekd-") as scratch:
        place.check(target, device)
        floats = {"student_float": built.float_student.onnx_path}
        if built.teachers.given:
            floats["teacher_float"] = built.teachers.given[0].onnx_path
        if place.not_run:
            baselines = {name: BuiltModel(OnnxRuntimeTarget(), path) for name, path in floats.items()}
        else:
            baselines = {
                name: runnable(target, path, Path(scratch) / name, host=device.host)
                for name, path in floats.items()
            }
        if made.ptq is not None:
            baselines["ptq"] = _opened(target, made.ptq, place, device.host)
        verdict = verify_engine(
            _opened(target, made, place, device.host),
            marked=built.marked.marked_path,
            probes=built.marked.probes(),
            student_logits=built.marked.test_logits(),
            baselines=baselines,
            test=spec.data.split("test"),
            task=spec.task,
            device=device,
            seed=spec.seed,
            timed=not place.not_run,
            exact=_in_exact_integers(built.marked, Path(scratch)) if place.not_run else None,
        )
    name = engine_name(spec.targets, index)
    return TargetResults(name, target, made.engine, made.lowered, verdict, place)


def _opened(target: Target, made: BuiltTarget, place: Place, host: Host) -> BuiltModel:
    """Return the engine, or what computes the lowered file's function where the engine cannot run."""
    if place.not_run:
        log = made.engine.build_log if made.engine is not None else ""
        return BuiltModel(target.stand_in(log), made.lowered.model_path)
    assert made.engine is not None
    return BuiltModel(target, made.engine.engine_path, host, source=made.lowered.model_path)


def _in_exact_integers(marked: MarkedOnnx, scratch: Path) -> BuiltModel | None:
    """Return the student on ONNX Runtime; None if that would compute some of it in float."""
    model = BuiltModel(OnnxRuntimeTarget(), scratch / "exact.onnx")
    try:
        write_lowered(marked.marked_path, model.path, target=model.target, metadata={})
        found = verify_graph(model, marked.probes())
    except (LowerError, BuildError):
        return None
    return None if found.coverage.fallbacks else model


def engine_metadata(spec: Pipeline) -> dict[str, str]:
    """Return what an engine's file says about itself: how to feed it and where it comes from."""
    info = spec.data.info()
    return {
        "input": f"uint8 (batch, {info.height}, {info.width}, {info.channels}), raw pixels",
        "color_order": info.color_order,
        "resize": info.resize,
        "class_names": json.dumps(info.class_names, ensure_ascii=False),
        "task": spec.task.kind,
        "pipeline": spec.name,
        "spec_digest": spec.digest,
    }
