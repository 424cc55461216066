"""The stage ``export_marked``: the trained student leaves torch as a graph with marks, with proof.

The marked graph is the contract between training and every runtime. Before it is stored, it is evaluated
layer by layer (:mod:`edgekd.runtimes.layer_reference`) against torch's own tensors.
"""

from pathlib import Path

import numpy as np
import onnx_ir as ir
import torch
from numpy.typing import NDArray
from torch import Tensor, fx, nn

from edgekd.core.artifact import stage
from edgekd.data.dataset import DataSpec
from edgekd.errors import ExportError
from edgekd.export.onnx_file import INPUT_NAME, export_onnx
from edgekd.lower.marked import MARKED, PROBES, TEST_LOGITS, MarkedOnnx
from edgekd.quant.deploy import deploy
from edgekd.quant.exact import sum_exactly
from edgekd.quant.placement import activation_quantizers
from edgekd.quant.settle import settle_biases
from edgekd.quant.student import QuantizeSpec, QuantStudent, load_student
from edgekd.runtimes.layer_reference import compare_layers
from edgekd.train.evaluate import predict
from edgekd.zoo.student import StudentArch, StudentSpec

PROBE_IMAGES = 16


@stage(MarkedOnnx, version=4)
def export_marked(
    folder: Path,
    student: QuantStudent,
    arch: StudentArch,
    spec: StudentSpec,
    quantize: QuantizeSpec,
    data: DataSpec,
) -> None:
    """Write the marked graph, the probes and the student's logits on the test split."""
    network = load_student(student, spec, arch, quantize, data.info())
    probes = data.split("train").images[:PROBE_IMAGES]
    write_marked(folder, network, torch.tensor(probes))
    sum_exactly(network)
    np.save(folder / TEST_LOGITS, predict(network, data.split("test")))


def write_marked(folder: Path, student: fx.GraphModule, probes: Tensor) -> None:
    """Deploy the student, write ``marked.onnx`` and ``probes.npy``, and check the export against torch.

    Args:
        folder: Gets the files.
        student: Trained; its quantizers become plain grids, its weights and biases those that an engine can
            hold, in place.
        probes: A few inputs (n >= 2, ...).

    Raises:
        SchemeError: If no engine can hold the values of a quantizer.
        ExportError: If a layer of the exported graph differs from torch's by more than one step of its grid.
    """
    deploy(student)
    settle_biases(student)
    export_onnx(student, probes[:2], folder / MARKED)
    np.save(folder / PROBES, probes.numpy())
    codes, results = fake_quant_codes(student, probes)
    names = [str(value.name) for value in ir.load(folder / MARKED).graph.outputs]
    outputs = {name: result.numpy() for name, result in zip(names, results, strict=True)}
    layers = compare_layers(folder / MARKED, codes, {INPUT_NAME: probes.numpy()}, outputs)
    wrong = [layer for layer in layers if layer.off_by_more]
    if wrong:
        what = f"the exported layer {wrong[0].name} differs from torch in {wrong[0].off_by_more} numbers"
        raise ExportError(
            what, where=str(folder / MARKED), fix="report this network: the export is not faithful"
        )


@torch.no_grad()
def fake_quant_codes(
    student: fx.GraphModule, inputs: Tensor
) -> tuple[dict[str, NDArray[np.int32]], tuple[Tensor, ...]]:
    """Run ``student``, deployed; return the codes of every activation quantizer by mark, and the outputs."""
    student.eval()
    codes: dict[str, NDArray[np.int32]] = {}
    hooks = []
    for mark, quantizer in activation_quantizers(student).items():

        def record(module: nn.Module, args: object, output: Tensor, mark: str = mark) -> None:
            scale = module.bounded(module.scale)  # type: ignore[operator]
            codes[mark] = torch.round(output / scale).to(torch.int32).numpy()

        hooks.append(quantizer.register_forward_hook(record))
    try:
        outputs = student(inputs)
    finally:
        for hook in hooks:
            hook.remove()
    return codes, (outputs,) if isinstance(outputs, Tensor) else tuple(outputs)
