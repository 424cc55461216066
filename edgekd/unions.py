"""The unions of plug-ins, which are the registry: a new plug-in is one file and one line here."""

from collections.abc import Iterable, Sequence
from typing import Annotated, Any, Self

from pydantic import BeforeValidator

from edgekd.core.profile import PROFILES, ProfileName
from edgekd.core.union import BY_KIND, described, members_by_kind
from edgekd.data.arrays import ArraysSpec
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
from edgekd.quant.bucketed import BucketedSpec
from edgekd.quant.calibrated import CalibratedSpec
from edgekd.quant.codebook import CodebookSpec
from edgekd.quant.dorefa import DorefaSpec
from edgekd.quant.lsq import LsqSpec
from edgekd.quant.minmax import MinMaxSpec
from edgekd.quant.pact import PactSpec
from edgekd.quant.ttq import TtqSpec
from edgekd.quant.twn import TwnSpec
from edgekd.quant.wrpn import WrpnSpec
from edgekd.runtimes.onnx_runtime_target import OnnxRuntimeTarget
from edgekd.runtimes.openvino_target import OpenVinoTarget
from edgekd.runtimes.target import TargetSpec
from edgekd.runtimes.tensorrt_target import TensorRtRtxTarget, TensorRtTarget
from edgekd.search.given_student import FixedStudentSpec
from edgekd.search.mobilenet_v2_space import MobileNetV2Space
from edgekd.search.pruned_space import PrunedSpace
from edgekd.search.resnet_space import ResNetSpace
from edgekd.search.search_spec import SearchStudentSpec
from edgekd.tasks.classification import ClassificationSpec
from edgekd.tasks.python import PythonTaskSpec
from edgekd.teacher.onnx_teacher import OnnxTeacherSpec
from edgekd.zoo.ds_cnn import DsCnnSpec
from edgekd.zoo.mobilenet_v2 import MobileNetV2Spec
from edgekd.zoo.pruned import PrunedSpec
from edgekd.zoo.python_network import PythonNetworkSpec
from edgekd.zoo.resnet import ResNetSpec
from edgekd.zoo.resnet_cifar import ResNetCifarSpec
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


def common_profile(targets: Any) -> ProfileName:
    """Return the first profile that every target runs; what is no target is left to validation."""
    known = members_by_kind(Target)
    named = targets if isinstance(targets, list | tuple) else []
    kinds = [item.get("kind") if isinstance(item, dict) else str(item).partition(":")[0] for item in named]
    served = [known[kind]().profiles for kind in kinds if isinstance(kind, str) and kind in known]  # type: ignore[attr-defined]
    return first_common(served)


def first_common(served: Iterable[Sequence[ProfileName]]) -> ProfileName:
    """Return the first profile that is among all of these: the portable one always is."""
    return next(profile for profile in PROFILES if all(profile in names for names in served))


def members(kind: str) -> dict[str, str]:
    """Return the plug-ins of a kind: the word in the pipeline file -> the first line of its docstring."""
    return described(KINDS[kind])
