"""Codes of a runtime that shows no tensors: those that can be outputs without changing what it computes."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from edgekd.core.progress import progress
from edgekd.errors import BuildError
from edgekd.lower.float_reference import ActivationMark
from edgekd.runtimes.onnx_runtime import tap
from edgekd.runtimes.session import Tensors, same_values


def watch_codes(
    model: onnx.ModelProto,
    marks: Sequence[ActivationMark],
    computed: Tensors,
    run: Callable[[bytes], Tensors],
    zero_point: Callable[[ActivationMark], int],
    *,
    elem_type: int = onnx.TensorProto.UINT8,
) -> dict[str, NDArray[np.int32]]:
    """Make the codes of one quantizer after the other an output, and keep those that change no output.

    A tensor that is an output cannot be fused away: where that changes what the engine computes, what is seen
    is not what the engine has.

    Args:
        model: The lowered file.
        marks: Quantizers whose tensors it may have.
        computed: Outputs of the engine.
        run: Opens a serialized model, runs it on the inputs that led to them, and returns its outputs.
        zero_point: Stored code that stands for 0, by quantizer.
        elem_type: Type of stored codes, as TensorProto numbers it.

    Returns:
        Centred codes by mark, of those that can be watched.
    """
    present = {name for node in model.graph.node for name in node.output}
    codes: dict[str, Any] = {}
    with progress("watch codes", len(marks)) as advance:
        for mark in marks:
            advance(1)
            if mark.codes_name not in present:
                continue
            try:
                seen = run(tap(model, [mark.codes_name], elem_type=elem_type))
            except BuildError:  # the runtime cannot give it out
                continue
            known = mark.codes_name in seen and computed.keys() <= seen.keys()
            if known and all(same_values(value, seen[name]) for name, value in computed.items()):
                codes[mark.name] = seen[mark.codes_name].astype(np.int32) - zero_point(mark)
    return codes
