"""Before the long work: build every network once, for the mistakes that only building them shows."""

from pathlib import Path
from tempfile import TemporaryDirectory

import torch

from edgekd.core.profile import PROFILES
from edgekd.core.progress import note
from edgekd.data.dataset import DataInfo
from edgekd.errors import SpecError
from edgekd.quant.operators import is_product
from edgekd.quant.prepare import prepare
from edgekd.runtimes.trial import try_model
from edgekd.search.search_spec import SearchStudentSpec
from edgekd.search.study import optuna_package
from edgekd.spec import Pipeline
from edgekd.teacher.export_teacher import TeacherSpec, teacher_network
from edgekd.teacher.onnx_teacher import OnnxTeacherSpec, write_onnx
from edgekd.teacher_section import Teacher
from edgekd.train.learner import points_of
from edgekd.zoo.network import NetworkSpec, given_weights, must_classify
from edgekd.zoo.pixels import ImageNetwork
from edgekd.zoo.student import image_network, start_from_weights
from edgekd.zoo.weights import GivenWeights


def try_networks(spec: Pipeline) -> None:
    """Build all networks, load their weights, run them on two images and place the student's quantizers.

    Raises:
        EdgeKdError: If weights do not fit, a network makes something else than one logit per class, or the
            student cannot be traced or quantized, or has nothing that its method trains.
    """
    with torch.random.fork_rng(devices=[]):
        if spec.teacher is not None and spec.distill.needs_teacher(spec.task):
            _try_teachers(spec, spec.teacher)
        _try_student(spec)


def _try_teachers(spec: Pipeline, teacher: Teacher) -> None:
    info = spec.data.info()
    _try_teacher("teacher", teacher, info)
    for index, other in enumerate(teacher.others):
        _try_teacher(f"teacher.others.{index}", other, info)
    for index, assistant in enumerate(teacher.chain(spec.student, info)):
        _try_teacher(f"teacher.assistants.{index}", assistant.as_teacher, info)


def _try_teacher(section: str, teacher: TeacherSpec, info: DataInfo) -> None:
    network = teacher.network
    if isinstance(network, OnnxTeacherSpec):
        try_model(Path(network.path))
        with TemporaryDirectory(prefix="edgekd-") as folder:
            write_onnx(Path(folder), network, info)
        return
    trained = teacher.training is not None
    weights = _weights(section, given_weights(network, teacher.weights, info, trained=trained), info)
    built = teacher_network(network, weights, info)
    if weights is not None:
        weights.load_into(built.body)
    _must_classify(section, network, built, info)


def _try_student(spec: Pipeline) -> None:
    """Try the given network; of a search the smallest and the largest one, and what it stands on."""
    student = spec.student
    if not isinstance(student, SearchStudentSpec):
        _try_network(spec, student.network)
        return
    optuna_package()
    multiple = PROFILES[spec.quantize.profile].channel_multiple
    for setting in (student.space.smallest(), student.space.largest()):
        _try_network(spec, student.space.network_of(setting, multiple=multiple))


def _try_network(spec: Pipeline, network: NetworkSpec) -> None:
    student, info, quantize = spec.student, spec.data.info(), spec.quantize
    trained = student.training is not None
    weights = _weights("student", given_weights(network, student.weights, info, trained=trained), info)
    built = image_network(network, weights, info)
    if weights is not None:
        start_from_weights(built, weights, (info.height, info.width))
    _must_classify("student", network, built, info)
    example = torch.zeros((2, info.height, info.width, info.channels), dtype=torch.uint8)
    prepared = prepare(built, example, quantize.profile, scheme=quantize.scheme)
    if any(phase.trains == "points" for phase in spec.distill.phases(spec.task)):
        points_of(prepared)
    for kind, told in {target.kind: target.float_products for target in spec.targets}.items():
        if told and (products := sum(map(is_product, prepared.graph.nodes))):
            note(f"{kind}: the student multiplies two activations {products} times. {told}")


def _weights(section: str, weights: GivenWeights | None, info: DataInfo) -> GivenWeights | None:
    """Return the weights if they were trained on images with as many channels."""
    if weights is not None and len(weights.mean) != info.channels:
        what = f"mean has {len(weights.mean)} numbers, the images have {info.channels} channels"
        order = "L" if len(weights.mean) == 1 else "RGB"
        fix = f"give weights for such images, or set data.color_order to {order}"
        raise SpecError(what, where=f"{section}.weights", fix=fix)
    return weights


def _must_classify(section: str, network: NetworkSpec, built: ImageNetwork, info: DataInfo) -> None:
    where, size = f"{section}.network: {network.title}", (info.height, info.width)
    must_classify(built.body, where=where, channels=info.channels, classes=len(info.class_names), size=size)
