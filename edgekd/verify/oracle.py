"""Fidelity, number one: every integer operator of the optimised graph against exact integer arithmetic.

Each operator is fed the engine's own inputs, so that one wrong kernel is one wrong operator, not everything
after it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import numpy_helper

from edgekd.runtimes.coverage import INTEGER_KERNELS
from edgekd.verify.integer_kernels import EXACT_KERNELS, OTHER_KERNELS, Attributes


@dataclass(frozen=True)
class OracleResult:
    """What the oracle found; nothing, by default, where a runtime does not show its graph.

    Attributes:
        nodes: Operators compared.
        values: Numbers compared.
        mismatches: Numbers that differ, by any amount; the limit is 0.
        first_mismatch: The first operator that differs, with an example; None if none does.
        unchecked: Integer operators that have no exact model here, by type.
    """

    nodes: int = 0
    values: int = 0
    mismatches: int = 0
    first_mismatch: str | None = None
    unchecked: tuple[str, ...] = ()


def check_against_oracle(optimized: onnx.ModelProto, tensors: Mapping[str, NDArray[Any]]) -> OracleResult:
    """Recompute every integer operator of ``optimized`` from its own inputs.

    Args:
        optimized: The graph that runs.
        tensors: Its inputs and every tensor that it computed from them.
    """
    known = {init.name: numpy_helper.to_array(init) for init in optimized.graph.initializer}
    known |= tensors
    nodes = values = mismatches = 0
    first: str | None = None
    unchecked: list[str] = []
    for node in optimized.graph.node:
        if node.op_type not in EXACT_KERNELS:
            if node.op_type.startswith(INTEGER_KERNELS):
                unchecked.append(node.op_type)
            continue
        attributes = {item.name: onnx.helper.get_attribute_value(item) for item in node.attribute}
        engine = known[node.output[0]]
        inputs = [known[name] if name else None for name in node.input]
        expected = _expected(node.op_type, inputs, attributes, engine)
        wrong = _differs(expected, engine)
        nodes += 1
        values += engine.size
        mismatches += int(wrong.sum())
        if first is None and wrong.any():
            index = tuple(int(i) for i in np.argwhere(wrong)[0])
            first = (
                f"{node.name} ({node.op_type}) at {index}: engine {engine[index]}, exact {expected[index]}"
            )
    return OracleResult(nodes, values, mismatches, first, tuple(sorted(set(unchecked))))


def _expected(
    op_type: str, inputs: list[NDArray[Any] | None], attributes: Attributes, engine: NDArray[Any]
) -> NDArray[Any]:
    """Return what the operator computes; of several ways, the one that is nearest to ``engine``."""
    kernels = [known[op_type] for known in (EXACT_KERNELS, OTHER_KERNELS) if op_type in known]
    results = [kernel(inputs, attributes) for kernel in kernels]
    return min(results, key=lambda result: int(_differs(result, engine).sum()))


def _differs(expected: NDArray[Any], engine: NDArray[Any]) -> NDArray[np.bool_]:
    """Codes must be equal; a float result (logits) may differ by the rounding of its one product."""
    if np.issubdtype(engine.dtype, np.integer):
        return np.asarray(expected != engine)
    return np.asarray(~np.isclose(expected, engine, rtol=1e-6, atol=0.0))
