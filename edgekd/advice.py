"""What to say of a pipeline before it trains."""

from collections.abc import Iterator, Sequence

from edgekd.core.spec_base import Spec
from edgekd.core.user_code import UserFunction
from edgekd.device.place import Place
from edgekd.search.mobilenet_v2_space import MobileNetV2Space
from edgekd.spec import Pipeline
from edgekd.teacher_section import Teacher
from edgekd.zoo.mobilenet_v2 import MobileNetV2Spec

SMALL_IMAGE = 64
"""Pixels below which a stem with stride 2 leaves too little work per layer for integer kernels to pay."""


def advice(spec: Pipeline, places: Sequence[Place] = ()) -> list[str]:
    """Say before training what a pipeline will and will not buy.

    Args:
        spec: The pipeline file.
        places: What each target's engine is built for, from `survey`; by default for current runtimes.
    """
    notes = []
    quantize, height, student = spec.quantize, spec.data.info().height, spec.student
    where, asked = ("space", student.space) if student.kind == "search" else ("network", student.network)
    stem = asked.stem if isinstance(asked, MobileNetV2Spec | MobileNetV2Space) else "small"
    if stem == "imagenet" and height < SMALL_IMAGE:
        notes.append(
            f"student.{where}.stem 'imagenet' at {height} pixels leaves layers too small for integers to pay "
            "(0.9x of float measured at 32 pixels): set stem: small"
        )
    if student.kind == "search":
        space, finalists = student.space, student.finalists
        notes.append(
            f"search: {student.trials} of {space.size()} networks of space {space.kind} are trained for up "
            f"to {student.rungs[-1]} epochs, {finalists} of them for {student.training.epochs}, on all but "
            "the validation rows; parts that this machine has not timed yet take seconds each"
        )
        if space.takes_weights and student.weights is None and not student.brings_weights:
            notes.append(
                "search: its networks start from random weights, although pruning keeps trained ones: name "
                "trained ones of the whole network in student.weights, such as the file of teacher.weights"
            )
        if student.weights is not None or student.brings_weights:
            notes.append(
                "search: given weights may have seen the validation rows that it selects on: what it finds "
                "may look better there than it is"
            )
    rows, samples = spec.data.train_rows(), quantize.calibration.samples
    if rows is not None and quantize.calibration.manifest is None and samples > rows:
        notes.append(f"calibration sees all {rows} train images: there are no {samples}")
    notes += [
        f"compress runs {code.file}:{code.function}: it needs --allow-code" for code in user_functions(spec)
    ]
    notes += dict.fromkeys(_what_bits_buy(spec, places))
    if spec.teacher is not None and spec.distill.teacher_start == "random":
        notes.append(
            f"{spec.distill.kind} trains a new teacher from random weights; reports compare with the one of "
            "the teacher section"
        )
    if spec.teacher is not None and spec.distill.needs_teacher(spec.task):
        notes += _who_teaches(spec, spec.teacher)
    kinds = ", ".join(dict.fromkeys(target.kind for target in spec.targets))
    if quantize.profile == "portable":
        notes.append(
            f"profile portable serves {kinds}: ReLU tensors have 128 levels instead of 256, and where two "
            "tensors are added both are quantized, which TensorRT does not fuse into the convolution"
        )
    elif len(spec.targets) > 1:
        notes.append(f"profile {quantize.profile} serves {kinds} at no cost")
    return notes


def _what_bits_buy(spec: Pipeline, places: Sequence[Place]) -> Iterator[str]:
    """Say for every target what the bits mean there, with the version that it has."""
    versions = [place.runtime_version for place in places] or [""] * len(spec.targets)
    for target, version in zip(spec.targets, versions, strict=True):
        if said := target.bits_note(spec.quantize.bits_asked, runtime_version=version):
            yield f"{target.kind}: {said}"


def _who_teaches(spec: Pipeline, teacher: Teacher) -> Iterator[str]:
    """Say what several teachers and assistants mean."""
    titles = [member.network.title for member in teacher.members]
    assistants = teacher.chain(spec.student, spec.data.info())
    if len(titles) > 1:
        yield (
            f"{' and '.join(titles)} are heard as one; reports compare accuracy and latency with the first, "
            f"{titles[0]}"
        )
    student = spec.student.network.title if spec.student.kind == "fixed" else "the student"
    if assistants:
        chain = [" and ".join(titles), *(item.network.title for item in assistants)]
        yield f"each teaches the next: {' -> '.join([*chain, student])}"


def user_functions(spec: Spec) -> list[UserFunction]:
    """Return the functions of the user's that a spec names, each once."""
    return list({(code.file, code.function): code for code in _code(spec)}.values())


def _code(spec: Spec) -> Iterator[UserFunction]:
    for name in type(spec).model_fields:
        value = getattr(spec, name)
        for part in value if isinstance(value, tuple) else (value,):
            if isinstance(part, UserFunction):
                yield part
            elif isinstance(part, Spec):
                yield from _code(part)
