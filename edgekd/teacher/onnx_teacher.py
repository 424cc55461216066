"""A teacher that comes as an ONNX file: frozen, run by ONNX Runtime, never trained.

Whatever the file takes, the artifact takes uint8 images (n, height, width, channels): where the file takes
normalized float images (n, channels, height, width), the normalization becomes its first nodes. So the file
that is distilled from is the file whose latency the report compares with.
"""

import shutil
from pathlib import Path
from typing import Literal, Self

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper
from pydantic import ValidationInfo, field_validator, model_validator
from torch import Tensor, nn

from edgekd.core.atomic import file_sha256, write_json
from edgekd.core.spec_base import Spec, json_digest
from edgekd.data.dataset import DataInfo, DataSpec
from edgekd.data.paths import expand_data_path
from edgekd.errors import DataError
from edgekd.export.float_network import FACTS, HISTORY, ONNX, NetworkFacts
from edgekd.runtimes.external_data import external_data
from edgekd.runtimes.here import HERE
from edgekd.runtimes.onnx_runtime import open_session, run_all, tap
from edgekd.runtimes.session import Tensors, fitting
from edgekd.tasks.classification import TaskSpec

IR_WITH_INNER_CONSTANTS = 4
"""The first IR version whose constants need not be inputs too."""


class OnnxTeacherSpec(Spec):
    """An ONNX file, frozen: for teachers only.

    Attributes:
        file: Path of the file, relative to the folder of the pipeline file that names it; may start with
            ``$EDGEKD_DATA`` or ``~``. It takes uint8 images (n, height, width, channels) as they are, or
            float32 images (n, channels, height, width) normalized with ``mean`` and ``std``.
        mean: Per channel, as a fraction of 255; for a file that takes floats.
        std: Per channel, as a fraction of 255; for a file that takes floats.
    """

    text_field = "file"

    kind: Literal["onnx"] = "onnx"
    file: str
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()

    @field_validator("file")
    @classmethod
    def _from_the_pipeline_file(cls, file: str, info: ValidationInfo) -> str:
        return file if info.context is None else str(info.context["folder"] / expand_data_path(file))

    @model_validator(mode="after")
    def _has_both_statistics(self) -> Self:
        if len(self.mean) != len(self.std):
            msg = "mean and std have different lengths: give one of each per channel, or none"
            raise ValueError(msg)
        return self

    @property
    def title(self) -> str:
        """Name for people, e.g. ``"teacher.onnx"``."""
        return Path(self.file).name

    @property
    def digest(self) -> str:
        """Hex sha256 of the file, its external data and the normalization; not of where they lie."""
        path = self.path
        _read(path)
        files = {data.relative_to(path.parent).as_posix(): data for data in external_data(path)}
        hashes = {name: file_sha256(data) for name, data in sorted(files.items())}
        return json_digest(
            {"sha256": file_sha256(path), "external": hashes, "mean": self.mean, "std": self.std}
        )

    @property
    def path(self) -> Path:
        """The existing file.

        Raises:
            DataError: If there is none.
        """
        path = expand_data_path(self.file)
        if not path.is_file():
            what = f"no such file: {path}"
            raise DataError(what, where=self.file, fix="set network.file to the path of an ONNX file")
        return path


class OnnxTeacher(nn.Module):
    """An ONNX file as a frozen network: uint8 images (n, height, width, channels) in, logits out.

    It has no parameters, and torch.compile leaves it alone.
    """

    def __init__(self, path: Path) -> None:
        super().__init__()
        self._session = HERE.open(path, threads=torch.get_num_threads())

    @torch.compiler.disable  # type: ignore[untyped-decorator]
    def forward(self, images: Tensor) -> Tensor:
        """Run ONNX Runtime on the CPU; the logits come back to where the images are."""
        return torch.from_numpy(self._session.predict(images.cpu().numpy())).to(images.device)


def write_onnx_teacher(folder: Path, spec: OnnxTeacherSpec, data: DataSpec, task: TaskSpec) -> None:
    """Write ``model.onnx``, as `write_onnx` does, and the facts of a report."""
    test = data.split("test")
    model = write_onnx(folder, spec, data.info())
    with HERE.open(folder / ONNX, threads=torch.get_num_threads()) as session:
        logits = session.predict(test.images)
        image = {session.inputs[0].name: fitting(test.images[:1], session.fixed_batch)}
    facts = NetworkFacts(
        name=spec.title,
        params=_count_params(model),
        macs=_count_macs(folder / ONNX, image),
        metric=task.score(logits, test.labels),
    )
    write_json(folder / FACTS, facts.model_dump(mode="json"))
    write_json(folder / HISTORY, [])


def write_onnx(folder: Path, spec: OnnxTeacherSpec, info: DataInfo) -> onnx.ModelProto:
    """Write ``model.onnx``, the file itself if it takes uint8 images, and return what it holds.

    Raises:
        DataError: If the file cannot be read, keeps data outside its folder, or fits neither images nor
            classes.
        BuildError: If ONNX Runtime refuses it.
    """
    external, model = external_data(spec.path), _read(spec.path, with_data=True)
    if not _takes_pixels(model, spec, info):
        _prepend_normalization(model, spec, info)
        onnx.save(model, folder / ONNX)
    elif external:
        onnx.save(model, folder / ONNX)
    else:
        shutil.copyfile(spec.path, folder / ONNX)
    images = np.zeros((2, info.height, info.width, info.channels), np.uint8)
    with HERE.open(folder / ONNX, threads=torch.get_num_threads()) as session:
        logits = session.predict(images)
    if logits.shape != (len(images), len(info.class_names)):
        what = f"it makes {logits.shape[1:]} of an image, not the logits of {len(info.class_names)} classes"
        raise DataError(what, where=spec.file, fix="export the classifier that knows these classes")
    return model


def _read(path: Path, *, with_data: bool = False) -> onnx.ModelProto:
    try:
        return onnx.load(path, load_external_data=with_data)
    except Exception as e:  # protobuf has errors of its own
        what = f"not a readable ONNX file: {e}"
        raise DataError(what, where=str(path), fix="export it again, and keep its data beside it") from e


def _takes_pixels(model: onnx.ModelProto, spec: OnnxTeacherSpec, info: DataInfo) -> bool:
    """Whether the model takes uint8 NHWC; if not, it takes float32 NCHW. Refuses everything else."""
    inputs = _inputs(model)
    fix = (
        "export it with one input, uint8 (n, height, width, channels) or float32 (n, channels, height, width)"
    )
    if len(inputs) != 1:
        what = f"it has {len(inputs)} inputs: {', '.join(value.name for value in inputs) or 'none'}"
        raise DataError(what, where=spec.file, fix=fix)
    if len(model.graph.output) != 1:
        what = f"it has {len(model.graph.output)} outputs, not the logits alone"
        raise DataError(what, where=spec.file, fix="export it with the logits as its only output")
    kind = inputs[0].type.tensor_type
    sizes = [size.dim_value or None for size in kind.shape.dim]
    takes_pixels = kind.elem_type == TensorProto.UINT8
    height, width, channels = info.height, info.width, info.channels
    wanted = (height, width, channels) if takes_pixels else (channels, height, width)
    fits = len(sizes) == 4 and all(a in (None, b) for a, b in zip(sizes[1:], wanted, strict=True))
    if kind.elem_type not in (TensorProto.UINT8, TensorProto.FLOAT) or not fits:
        shape = f"{TensorProto.DataType.Name(kind.elem_type).lower()} {tuple(sizes)}"
        what = f"its input is {shape}; the images are {height}x{width} with {channels} channels"
        raise DataError(what, where=spec.file, fix=fix)
    if takes_pixels and spec.mean:
        what = "it takes raw pixels: there is nothing to normalize"
        raise DataError(what, where=spec.file, fix="leave out mean and std")
    if not takes_pixels and len(spec.mean) != channels:
        what = f"it takes floats: {len(spec.mean)} means are given for {channels} channels"
        raise DataError(
            what, where=spec.file, fix="give the mean and std that it was trained with, per channel"
        )
    return takes_pixels


def _prepend_normalization(model: onnx.ModelProto, spec: OnnxTeacherSpec, info: DataInfo) -> None:
    """Give a model that takes float32 NCHW the input uint8 NHWC, in place."""
    graph = model.graph
    image = _inputs(model)[0]
    pixels, planes = f"{image.name}_pixels", f"{image.name}_planes"
    numbers, centred = f"{image.name}_numbers", f"{image.name}_centred"
    mean, std = f"{image.name}_mean", f"{image.name}_std"
    for name, values in ((mean, spec.mean), (std, spec.std)):
        steps = 255 * np.asarray(values, np.float64).reshape(-1, 1, 1)
        graph.initializer.append(numpy_helper.from_array(steps.astype(np.float32), name))
    rest = list(graph.node)
    del graph.node[:]
    graph.node.append(helper.make_node("Transpose", [pixels], [planes], perm=[0, 3, 1, 2]))
    graph.node.append(helper.make_node("Cast", [planes], [numbers], to=TensorProto.FLOAT))
    graph.node.append(helper.make_node("Sub", [numbers, mean], [centred]))
    graph.node.append(helper.make_node("Div", [centred, std], [image.name]))
    graph.node.extend(rest)
    batch = image.type.tensor_type.shape.dim[0]
    shape = [batch.dim_value or batch.dim_param or "batch", info.height, info.width, info.channels]
    image.CopyFrom(helper.make_tensor_value_info(pixels, TensorProto.UINT8, shape))
    model.ir_version = max(model.ir_version, IR_WITH_INNER_CONSTANTS)


def _inputs(model: onnx.ModelProto) -> list[onnx.ValueInfoProto]:
    constants = {constant.name for constant in model.graph.initializer}
    return [value for value in model.graph.input if value.name not in constants]


def _count_params(model: onnx.ModelProto) -> int:
    """Count the numbers in all constants; int64 ones are shapes and axes."""
    kept = [tensor for tensor in model.graph.initializer if tensor.data_type != TensorProto.INT64]
    return sum(int(np.prod(tensor.dims)) for tensor in kept)


def _count_macs(path: Path, image: Tensors) -> int:
    """Count the multiply-accumulates of all convolutions and products with constants for one image."""
    model = onnx.load(path)
    producers = {output: node for node in model.graph.node for output in node.output}
    sizes = {tensor.name: int(np.prod(tensor.dims)) for tensor in model.graph.initializer}
    weights = {}
    for node in model.graph.node:
        if node.op_type in ("Conv", "Gemm", "MatMul"):
            source = node.input[1]
            while source in producers and producers[source].input:  # behind Transpose, DequantizeLinear, Cast
                source = producers[source].input[0]
            if source in sizes:
                weights[node.output[0]] = (sizes[source], 1 if node.op_type == "Conv" else -1)
    outputs = run_all(open_session(tap(model, list(weights)), optimize=False), image)
    batch = next(iter(image.values())).shape[0]
    return sum(
        outputs[name].size // batch * size // outputs[name].shape[axis]
        for name, (size, axis) in weights.items()
    )
