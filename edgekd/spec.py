"""What a pipeline file can say. The unions are the registry: a new plug-in is one file and one line here."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import (
    BeforeValidator,
    Discriminator,
    Field,
    Tag,
    ValidationInfo,
    field_validator,
    model_validator,
)

from edgekd.core.profile import PROFILES, ProfileName
from edgekd.core.spec_base import Spec, Version1
from edgekd.core.spec_file import load_spec, plugin_from_option
from edgekd.core.union import BY_KIND, described, members_by_kind
from edgekd.data.arrays import ArraysSpec
from edgekd.data.dataset import DataInfo, DataSpec
from edgekd.data.digits import DigitsSpec
from edgekd.data.hub import HubSpec
from edgekd.data.image_folder import ImageFolderSpec
from edgekd.data.parquet import ParquetSpec
from edgekd.data.python import PythonDataSpec
from edgekd.device.devices import Device
from edgekd.device.local import LocalDevice
from edgekd.distill.apprentice import ApprenticeSpec
from edgekd.distill.differentiable import DifferentiableSpec
from edgekd.distill.hinton import HintonSpec
from edgekd.distill.logit_matching import LogitMatchingSpec
from edgekd.distill.none import NoneSpec
from edgekd.distill.qat import QatSpec
from edgekd.distill.qkd import QkdSpec
from edgekd.distill.quantized_distillation import QuantizedDistillationSpec
from edgekd.distill.train_assistant import AssistantSpec, AssistantTraining, EqualAssistants
from edgekd.quant.bucketed import BucketedSpec
from edgekd.quant.calibrated import CalibratedSpec
from edgekd.quant.codebook import CodebookSpec
from edgekd.quant.dorefa import DorefaSpec
from edgekd.quant.lsq import LsqSpec
from edgekd.quant.minmax import MinMaxSpec
from edgekd.quant.pact import PactSpec
from edgekd.quant.student import QuantizeSpec
from edgekd.quant.ttq import TtqSpec
from edgekd.quant.twn import TwnSpec
from edgekd.quant.wrpn import WrpnSpec
from edgekd.runtimes.onnx_runtime_target import OnnxRuntimeTarget
from edgekd.runtimes.openvino_target import OpenVinoTarget
from edgekd.runtimes.target import BitsAsked, TargetSpec
from edgekd.runtimes.tensorrt_target import TensorRtRtxTarget, TensorRtTarget
from edgekd.search.given_student import FixedStudentSpec
from edgekd.search.mobilenet_v2_space import MobileNetV2Space
from edgekd.search.pruned_space import PrunedSpace
from edgekd.search.resnet_space import ResNetSpace
from edgekd.search.student_search import SearchStudentSpec
from edgekd.tasks.classification import ClassificationSpec
from edgekd.tasks.python import PythonTaskSpec
from edgekd.teacher.export_teacher import SharingTeacherSpec, TeacherSpec
from edgekd.teacher.onnx_teacher import OnnxTeacherSpec
from edgekd.train.options import TrainSpec
from edgekd.zoo.ds_cnn import DsCnnSpec
from edgekd.zoo.mobilenet_v2 import MobileNetV2Spec
from edgekd.zoo.pruned import PrunedSpec
from edgekd.zoo.python_network import PythonNetworkSpec
from edgekd.zoo.resnet import ResNetSpec
from edgekd.zoo.resnet_cifar import ResNetCifarSpec
from edgekd.zoo.sizes import equal_ratios, sizes_between
from edgekd.zoo.student import StudentSpec
from edgekd.zoo.timm_network import TimmSpec
from edgekd.zoo.torchvision_network import TorchvisionSpec


def _no_onnx(network: Any) -> Any:
    """Refuse an ONNX file where a network is trained or quantized."""
    kind = network.get("kind") if isinstance(network, dict) else network
    if isinstance(kind, str) and kind.partition(":")[0] == "onnx":
        msg = "onnx is for teachers only: name a network to train, as timm:NAME or python:FILE:FUNCTION"
        raise ValueError(msg)
    return network


Data = Annotated[DigitsSpec | ParquetSpec | ImageFolderSpec | ArraysSpec | PythonDataSpec | HubSpec, BY_KIND]
WholeNetwork = Annotated[
    MobileNetV2Spec
    | ResNetCifarSpec
    | ResNetSpec
    | DsCnnSpec
    | TimmSpec
    | TorchvisionSpec
    | PythonNetworkSpec,
    BY_KIND,
    BeforeValidator(_no_onnx),
]


class Pruned(PrunedSpec):
    """Any of them with fewer channels, which keeps its weights."""

    network: WholeNetwork


Network = Annotated[WholeNetwork | Pruned, BY_KIND, BeforeValidator(_no_onnx)]
TeacherNetwork = Annotated[Network | OnnxTeacherSpec, BY_KIND]
Quantizer = Annotated[
    LsqSpec
    | CalibratedSpec
    | MinMaxSpec
    | WrpnSpec
    | DorefaSpec
    | PactSpec
    | TwnSpec
    | TtqSpec
    | CodebookSpec
    | BucketedSpec,
    BY_KIND,
]
Distill = Annotated[
    NoneSpec
    | QatSpec
    | HintonSpec
    | LogitMatchingSpec
    | ApprenticeSpec
    | QkdSpec
    | QuantizedDistillationSpec
    | DifferentiableSpec,
    BY_KIND,
]
Task = Annotated[ClassificationSpec | PythonTaskSpec, BY_KIND]


class OneTeacher(TeacherSpec):
    """A teacher as stages see it."""

    network: TeacherNetwork


class OtherTeacher(SharingTeacherSpec):
    """One of several teachers."""

    network: TeacherNetwork

    @property
    def alone(self) -> OneTeacher:
        """The same without those beside it: how it came to be."""
        return OneTeacher(**{name: getattr(self, name) for name in OneTeacher.model_fields})


class Assistant(AssistantSpec):
    """A network between teacher and student."""

    network: Network

    @property
    def as_teacher(self) -> OneTeacher:
        """What it is to the one that it teaches."""
        return OneTeacher(network=self.network, training=self.training)


Assistants = Annotated[
    Annotated[tuple[Assistant, ...], Tag("array")] | Annotated[EqualAssistants, Tag("object")],
    Discriminator(lambda value: "array" if isinstance(value, list | tuple) else "object"),
]


class Teacher(OtherTeacher):
    """The ``teacher`` section.

    Attributes:
        others: Teachers beside it: the mean of all of them is heard, and all are frozen. Reports compare with
            the accuracy and latency of this one.
        assistants: Networks between it and the student, from large to small: each learns from the one before,
            and the student from the last. A list of networks, or a number of them in equal ratios.
    """

    others: tuple[OtherTeacher, ...] = ()
    assistants: Assistants = ()

    @property
    def members(self) -> tuple[OtherTeacher, ...]:
        """All teachers, itself first."""
        own = OtherTeacher(**{name: getattr(self, name) for name in OtherTeacher.model_fields})
        return (own, *self.others)

    def chain(self, student: StudentSpec, info: DataInfo) -> tuple[Assistant, ...]:
        """Return the assistants on the way to a student."""
        equal = self.assistants
        if isinstance(equal, tuple):
            return equal
        assert isinstance(student, FixedStudentSpec)  # the pipeline has refused the others
        assert not isinstance(self.network, OnnxTeacherSpec)
        learning = {name: getattr(equal, name) for name in AssistantTraining.model_fields}
        networks = equal_ratios(self.network, student.network, equal.count, info)
        return tuple(Assistant(network=network, **learning) for network in networks)


class NetworkPruned(PrunedSpace):
    """Any network with fewer channels, which keeps what it has learned."""

    network: WholeNetwork


Space = Annotated[ResNetSpace | MobileNetV2Space | NetworkPruned, BY_KIND]


class FixedStudent(FixedStudentSpec):
    """A given architecture."""

    network: Network


class SearchedStudent(SearchStudentSpec):
    """The best architecture of a space that keeps limits on the device."""

    space: Space


Student = Annotated[FixedStudent | SearchedStudent, BY_KIND]


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


class OnDevice(TargetSpec):
    """A target with the device that it is for."""

    device: Device = LocalDevice()

    def anywhere(self) -> Self:
        """Return the target as stages see it: where it runs is no part of what is made."""
        return self.model_copy(update={"device": LocalDevice()})


class OnnxRuntime(OnnxRuntimeTarget, OnDevice):
    """A target: ONNX Runtime's CPU kernels on a device."""


class OpenVino(OpenVinoTarget, OnDevice):
    """A target: OpenVINO's CPU kernels on a device."""


class TensorRt(TensorRtTarget, OnDevice):
    """A target: TensorRT 10 or 11 on a device with an NVIDIA GPU."""


class TensorRtRtx(TensorRtRtxTarget, OnDevice):
    """A target: TensorRT-RTX on a device with an NVIDIA GPU; engines are built without one as well."""


Target = Annotated[OnnxRuntime | OpenVino | TensorRt | TensorRtRtx, BY_KIND]

KINDS: dict[str, Any] = {
    "data": Data,
    "task": Task,
    "network": TeacherNetwork,
    "student": Student,
    "space": Space,
    "quantizer": Quantizer,
    "distill": Distill,
    "target": Target,
    "device": Device,
}
"""Every union of plug-ins by the word that ``edgekd list`` takes."""


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
        return {**fields, "quantize": {**quantize, "profile": _common_profile(fields.get("targets"))}}

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
        if distill.weight_quantizers and found not in distill.weight_quantizers:
            msg = (
                f"distill.kind {distill.kind!r} cannot train quantize.weights.kind {found!r}: "
                f"set it to {' or '.join(distill.weight_quantizers)}"
            )
            raise ValueError(msg)
        if training.freezing is not None and not quantize.weights.freezable:
            msg = (
                f"training.freezing cannot hold single codes of quantize.weights.kind {found!r}: "
                "set it to lsq, or leave out freezing"
            )
            raise ValueError(msg)
        return distill

    @field_validator("distill")
    @classmethod
    def _starts_where_a_search_ends(cls, distill: Distill, info: ValidationInfo) -> Distill:
        student = info.data.get("student")
        if isinstance(student, SearchStudentSpec) and distill.student_start == "random":
            msg = (
                f"distill.kind {distill.kind!r} in this form starts from random weights, and a search leaves "
                "trained ones: take another form or method, or student.kind: fixed"
            )
            raise ValueError(msg)
        return distill

    @field_validator("quantize")
    @classmethod
    def _can_be_judged(cls, quantize: Quantize, info: ValidationInfo) -> Quantize:
        student = info.data.get("student")
        bits = min(quantize.weights.bits, quantize.activations.bits)
        if isinstance(student, SearchStudentSpec) and student.judging is None and bits < 8:
            msg = (
                f"calibrated grids of {bits} bits say little about a trial: set student.judging, such as "
                "{epochs: 1, learning_rate: 0.01}"
            )
            raise ValueError(msg)
        return quantize

    @field_validator("targets")
    @classmethod
    def _represent_the_profile(cls, targets: tuple[Target, ...], info: ValidationInfo) -> tuple[Target, ...]:
        quantize = info.data.get("quantize")  # None if it is a mistake itself
        for index, target in enumerate(targets):
            if quantize is not None and quantize.profile not in target.profiles:
                serves = _first_common([target.profiles for target in targets])
                msg = (
                    f"targets.{index} ({target.kind}) cannot run quantize.profile {quantize.profile!r} "
                    f"in integers: set quantize.profile to {serves}, or leave it out"
                )
                raise ValueError(msg)
        return targets

    def bits_note(self, target: Target, *, runtime_version: str = "") -> str:
        """Say what the bits buy on a target, with its runtime of a version; empty where all are 8."""
        quantize = self.quantize
        ends = (quantize.first_layer_bits, quantize.last_layer_bits)
        asked = BitsAsked(
            weight_bits=quantize.weights.bits,
            largest_code=quantize.weights.weight_grid.qmax,
            largest_end_code=max(quantize.scheme.weights_at(bits).weight_grid.qmax for bits in ends),
            activation_bits=min(quantize.activations.bits, quantize.residual_bits),
        )
        return target.bits_note(asked, runtime_version=runtime_version)


def _common_profile(targets: Any) -> ProfileName:
    """Return the first profile that every target runs; what is no target is left to validation."""
    known = members_by_kind(Target)
    named = targets if isinstance(targets, list | tuple) else []
    kinds = [item.get("kind") if isinstance(item, dict) else str(item).partition(":")[0] for item in named]
    served = [known[kind]().profiles for kind in kinds if isinstance(kind, str) and kind in known]  # type: ignore[attr-defined]
    return _first_common(served)


def _first_common(served: Iterable[Sequence[ProfileName]]) -> ProfileName:
    """Return the first profile that is among all of these: the portable one always is."""
    return next(profile for profile in PROFILES if all(profile in names for names in served))


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


def members(kind: str) -> dict[str, str]:
    """Return the plug-ins of a kind: the word in the pipeline file -> the first line of its docstring."""
    return described(KINDS[kind])
