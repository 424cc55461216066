"""What a pipeline file can say."""

from pathlib import Path
from typing import Any

from pydantic import Field, ValidationInfo, field_validator, model_validator

from edgekd.core.spec_base import Spec, Version1
from edgekd.core.spec_file import load_spec, plugin_from_option
from edgekd.data.dataset import DataSpec
from edgekd.distill.train_assistant import EqualAssistants
from edgekd.quant.lsq import LsqSpec
from edgekd.quant.student import QuantizeSpec
from edgekd.runtimes.target import BitsAsked
from edgekd.tasks.classification import ClassificationSpec
from edgekd.teacher.onnx_teacher import OnnxTeacherSpec
from edgekd.teacher_section import Teacher
from edgekd.train.options import TrainSpec
from edgekd.unions import (
    Data,
    Distill,
    FixedStudent,
    OnnxRuntime,
    Quantizer,
    Student,
    Target,
    Task,
    common_profile,
    first_common,
)
from edgekd.zoo.sizes import sizes_between


class Quantize(QuantizeSpec):
    """The ``quantize`` section."""

    weights: Quantizer = LsqSpec()
    activations: Quantizer = LsqSpec()

    @field_validator("weights")
    @classmethod
    def _an_engine_holds_them(cls, spec: Quantizer) -> Quantizer:
        if reason := spec.not_deployable():
            raise ValueError(reason)
        return spec

    @property
    def bits_asked(self) -> BitsAsked:
        """What a target has to say something about."""
        ends = (self.first_layer_bits, self.last_layer_bits)
        return BitsAsked(
            weight_bits=self.weights.bits,
            largest_code=self.weights.weight_grid.qmax,
            largest_end_code=max(self.scheme.weights_at(bits).weight_grid.qmax for bits in ends),
            activation_bits=self.activations.bits,
            residual_bits=self.residual_bits,
        )


class Pipeline(Spec):
    """A pipeline file.

    Attributes:
        version: Of the format.
        name: Name of the run's folder.
        seed: Of initial weights, order of images and timing.
        data: Images and labels.
        task: What labels mean.
        teacher: The network that is distilled from; left out where the method needs none.
        student: The architecture that is trained.
        training: What all training has in common.
        quantize: Grids and bits.
        distill: Method and schedule.
        targets: Runtimes to build and verify engines for.
    """

    version: Version1
    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$")
    seed: int = Field(default=0, ge=0, lt=2**32)
    data: Data
    task: Task = ClassificationSpec()
    teacher: Teacher | None = None
    student: Student
    training: TrainSpec = TrainSpec()
    quantize: Quantize = Quantize()
    distill: Distill
    targets: tuple[Target, ...] = Field(default=(OnnxRuntime(),), min_length=1, validate_default=True)

    @model_validator(mode="before")
    @classmethod
    def _profile_of_its_targets(cls, fields: Any) -> Any:
        """Take the profile that all targets run, where the file names none."""
        quantize = fields.get("quantize", {}) if isinstance(fields, dict) else None
        if not isinstance(quantize, dict) or "profile" in quantize:
            return fields
        return {**fields, "quantize": {**quantize, "profile": common_profile(fields.get("targets"))}}

    @field_validator("student", mode="before")
    @classmethod
    def _fixed_by_default(cls, student: Any) -> Any:
        return {"kind": "fixed", **student} if isinstance(student, dict) else student

    @field_validator("task", mode="before")
    @classmethod
    def _classification_by_default(cls, task: Any) -> Any:
        return {"kind": "classification", **task} if isinstance(task, dict) else task

    @field_validator("student")
    @classmethod
    def _has_room_for_assistants(cls, student: Student, info: ValidationInfo) -> Student:
        teacher: Teacher | None = info.data.get("teacher")
        if teacher is not None and isinstance(teacher.assistants, EqualAssistants):
            refusal = "teacher.assistants.count cannot choose sizes"
            fix = "name the networks, assistants: [{network: ..., training: ...}]"
            if not isinstance(student, FixedStudent):
                msg = f"{refusal}, a student that is searched for has none yet: {fix}"
                raise ValueError(msg)
            try:
                sizes_between(teacher.network, student.network, least=teacher.assistants.count)
            except ValueError as e:
                msg = f"{refusal}, {e}: {fix}"
                raise ValueError(msg) from e
        return student

    @field_validator("distill")
    @classmethod
    def _has_its_teacher(cls, distill: Distill, info: ValidationInfo) -> Distill:
        known = {"teacher", "task"} <= info.data.keys()  # neither is a mistake itself
        if known and info.data["teacher"] is None and distill.needs_teacher(info.data["task"]):
            msg = f"distill.kind {distill.kind!r} needs a teacher: add a teacher section"
            raise ValueError(msg)
        teacher: Teacher | None = info.data.get("teacher") if known else None
        if teacher is not None:
            reason = distill.unfit_teacher(
                info.data["task"],
                assisted=bool(teacher.assistants),
                several=bool(teacher.others),
                frozen=isinstance(teacher.network, OnnxTeacherSpec),
            )
            if reason:
                raise ValueError(reason)
        return distill

    @field_validator("distill")
    @classmethod
    def _can_train_the_quantizers(cls, distill: Distill, info: ValidationInfo) -> Distill:
        quantize, training = info.data.get("quantize"), info.data.get("training")
        if quantize is None or training is None:
            return distill  # one of them is a mistake itself
        found = quantize.weights.kind
        if distill.trains_weights and found not in distill.trains_weights:
            msg = (
                f"distill.kind {distill.kind!r} cannot train quantize.weights.kind {found!r}: "
                f"set it to {' or '.join(distill.trains_weights)}"
            )
            raise ValueError(msg)
        if training.freezing is not None and not quantize.weights.freezable:
            msg = (
                f"training.freezing cannot hold single codes of quantize.weights.kind {found!r}: "
                "set it to lsq, or leave out freezing"
            )
            raise ValueError(msg)
        return distill

    @field_validator("student")
    @classmethod
    def _is_for_the_task(cls, student: Student, info: ValidationInfo) -> Student:
        if "task" in info.data and (reason := student.unfit_task(info.data["task"])):
            raise ValueError(reason)
        return student

    @field_validator("quantize")
    @classmethod
    def _has_bits_for_the_student(cls, quantize: Quantize, info: ValidationInfo) -> Quantize:
        student: Student | None = info.data.get("student")  # None if it is a mistake itself
        bits = min(quantize.weights.bits, quantize.activations.bits)
        if student is not None and (reason := student.unfit_bits(bits)):
            raise ValueError(reason)
        return quantize

    @field_validator("distill")
    @classmethod
    def _starts_where_the_student_is(cls, distill: Distill, info: ValidationInfo) -> Distill:
        student: Student | None = info.data.get("student")
        if student is not None and (reason := student.unfit_start(distill.student_start)):
            raise ValueError(reason)
        return distill

    @field_validator("targets")
    @classmethod
    def _represent_the_profile(cls, targets: tuple[Target, ...], info: ValidationInfo) -> tuple[Target, ...]:
        quantize = info.data.get("quantize")  # None if it is a mistake itself
        for index, target in enumerate(targets):
            if quantize is not None and quantize.profile not in target.profiles:
                serves = first_common([target.profiles for target in targets])
                msg = (
                    f"targets.{index} ({target.kind}) cannot run quantize.profile {quantize.profile!r} "
                    f"in integers: set quantize.profile to {serves}, or leave it out"
                )
                raise ValueError(msg)
        return targets


def load_pipeline(path: Path, overrides: tuple[str, ...] = ()) -> Pipeline:
    """Read a pipeline file; ``overrides`` are ``a.b=value``.

    Raises:
        SpecError: With file, key and line of the first mistake, and how to mend it.
    """
    return load_spec(Pipeline, path, overrides)


def data_from_text(text: str) -> DataSpec:
    """Return the data that a command line names: ``digits``, ``parquet:PATH``, a mapping or a pipeline file.

    Raises:
        SpecError: If it is none of these.
    """
    if text.endswith((".yaml", ".yml")):
        return load_pipeline(Path(text)).data
    found: DataSpec = plugin_from_option(Data, text, option="--data", text_form="a pipeline file, KIND:PATH")
    return found
