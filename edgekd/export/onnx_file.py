"""Out of torch: a prepared network as a marked ONNX graph, a float network as plain ONNX."""

import contextlib
import io
import logging
import warnings
from collections.abc import Iterator
from pathlib import Path

import onnx_ir as ir
import torch
from torch import Tensor, nn

from edgekd.errors import ExportError

OPSET = 21
INPUT_NAME = "image"
OUTPUT_NAME = "logits"


def export_onnx(network: nn.Module, example: Tensor, path: Path) -> None:
    """Write ``network`` as ONNX with a free batch dimension.

    Quantizers of a prepared network become ``edgekd::FakeQuant`` marks; everything else is exported as it is.

    Args:
        network: The network; exported in eval mode.
        example: At least two inputs.
        path: Where to write.

    Raises:
        ExportError: If torch cannot export it; torch's own words are kept.
    """
    network.eval()
    batch = torch.export.Dim("batch")
    try:
        with _quiet():
            program = torch.onnx.export(
                network,
                (example,),
                dynamo=True,
                opset_version=OPSET,
                input_names=[INPUT_NAME],
                output_names=[OUTPUT_NAME],
                dynamic_shapes=({0: batch},),
                verbose=False,
            )
    except Exception as e:
        what = f"torch cannot export {type(network).__name__}: {_first_words(e)}"
        raise ExportError(
            what, fix="export the network alone with torch.onnx.export to see the whole trace"
        ) from e
    assert program is not None
    model = program.model
    model.graph.metadata_props.clear()
    for node in model.graph:
        node.metadata_props.clear()
    ir.save(model, path)


def _first_words(error: BaseException) -> str:
    """Return what went wrong first: torch wraps it in general advice."""
    while error.__cause__ is not None:
        error = error.__cause__
    return f"{type(error).__name__}: {error}".splitlines()[0]


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep torch's exporter from writing progress, registration notes and deprecation notices."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)
