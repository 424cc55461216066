"""Fidelity, number two: each layer of the trained network against the engine, on the engine's own inputs."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from edgekd.lower.float_reference import (
    SNAPPED_SUFFIX,
    ActivationMark,
    activation_marks,
    float_reference,
)
from edgekd.runtimes.onnx_runtime import open_session, run_all
from edgekd.runtimes.session import Tensors

OUTPUT_TOLERANCE = 0.005
"""Of the largest float output: above the rounding of an int32 bias."""

TIE_STEPS = 0.1
"""How far from the middle between two codes float32 and an int32 bias may still choose the other one."""


@dataclass(frozen=True)
class LayerResult:
    """How one quantized tensor, or one float output, of the engine compares with the trained network.

    Attributes:
        name: The quantizer's mark, or the name of the output.
        values: Numbers compared.
        off_by_one: Codes that differ by one step because the number that is rounded lies within ``TIE_STEPS``
            of the middle between two codes.
        off_by_more: Codes that differ without such a reason, floats that differ by more than
            ``OUTPUT_TOLERANCE``; the limit is 0.
    """

    name: str
    values: int
    off_by_one: int
    off_by_more: int


def compare_layers(
    marked_path: Path, codes: Tensors, inputs: Tensors, outputs: Tensors
) -> tuple[LayerResult, ...]:
    """Compare every known tensor of codes, and every float output, with what the marked graph makes of them.

    Each is computed from the nearest known ones before it: layer by layer, if all are known.

    Args:
        marked_path: The marked graph: the trained network as it was exported.
        codes: Centred codes of activation quantizers, by mark, as the engine (or torch) holds them.
        inputs: The network's inputs that led to them.
        outputs: The outputs that they led to; others than the graph's are ignored.
    """
    marks = [mark for mark in activation_marks(ir.load(marked_path)) if mark.name in codes]
    stand_ins = {
        mark.name + SNAPPED_SUFFIX: _ranked(codes[mark.name], mark) * np.float32(mark.scale) for mark in marks
    }
    reference = float_reference(ir.load(marked_path), cut_at={mark.name for mark in marks})
    session = open_session(ir.to_proto(reference).SerializeToString(), optimize=False)
    known = {value.name for value in session.get_inputs()}
    feeds = {name: value for name, value in {**inputs, **stand_ins}.items() if name in known}
    expected = run_all(session, feeds)
    layers = [_compare_codes(mark, codes[mark.name], expected[mark.codes_name]) for mark in marks]
    expected |= {mark.result: stand_ins[mark.name + SNAPPED_SUFFIX] for mark in marks}
    quantized = {mark.codes_name for mark in marks}
    floats = [name for name in outputs if name in expected and name not in quantized]
    return (*layers, *(_compare_floats(name, outputs[name], expected[name]) for name in floats))


def _ranked(codes: NDArray[Any], mark: ActivationMark) -> NDArray[np.float32]:
    """Drop trailing dimensions of 1 that lowering keeps until behind the quantizer."""
    trimmed = codes.reshape(codes.shape[: mark.rank]) if codes.ndim > mark.rank else codes
    return trimmed.astype(np.float32)


def _compare_codes(mark: ActivationMark, engine: NDArray[Any], unrounded: NDArray[Any]) -> LayerResult:
    codes = engine.reshape(unrounded.shape).astype(np.float32)
    clipped = np.clip(unrounded, mark.qmin, mark.qmax)
    wrong = ~(np.abs(codes - clipped) <= 0.5 + TIE_STEPS)  # also if not a number
    other = codes != np.round(clipped)
    return LayerResult(mark.name, codes.size, int((other & ~wrong).sum()), int(wrong.sum()))


def _compare_floats(name: str, engine: NDArray[Any], expected: NDArray[Any]) -> LayerResult:
    wrong = ~(np.abs(engine - expected) <= OUTPUT_TOLERANCE * np.abs(expected).max())  # also if not a number
    return LayerResult(name, wrong.size, 0, int(wrong.sum()))
