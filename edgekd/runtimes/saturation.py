"""Which layers a CPU without VNNI would get wrong: by their weights alone, and on inputs that are at hand."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray
from onnx import numpy_helper

from edgekd.core.spec_base import Spec
from edgekd.lower.lint import saturating_channels
from edgekd.lower.saturation import added_pairs, is_depthwise, may_saturate, summed_rows
from edgekd.runtimes.lost_time import name_of_node

WEIGHTS = {"QLinearConv": 3, "QGemm": 3, "QLinearMatMul": 3, "MatMulInteger": 1, "MatMulIntegerToFloat": 1}
"""Input that holds the codes of the weights, by operator."""

_LOWEST, _HIGHEST = -(2**15), 2**15 - 1

Column = Callable[[int], NDArray[np.uint8]]
"""What a layer multiplies with the weight of this number in a row, at every place."""


class Saturation(Spec):
    """A layer that may saturate on x86 without VNNI, with ONNX Runtime unless ``x64quantprecision`` is set.

    Attributes:
        node: Name of the operator.
        channels: Its output channels.
        could: Those whose weights allow it.
        does: Those in which it happens on the inputs that were looked at; null if none were.
    """

    node: str
    channels: int
    could: int
    does: int | None = None


def saturation(
    optimized: onnx.ModelProto, tensors: Mapping[str, NDArray[Any]], *, protected: bool
) -> tuple[Saturation, ...]:
    """Return the layers of an optimised graph whose weights let two products pass 16 bits.

    Args:
        optimized: The graph that runs.
        tensors: Its inputs and every tensor that it computed from them.
        protected: Whether ONNX Runtime has protected its weights from saturation: it runs where that happens.
    """
    constants = {init.name: init for init in optimized.graph.initializer}
    layers = (node for node in optimized.graph.node if node.op_type in WEIGHTS)
    found = (_of_layer(node, constants, tensors, protected) for node in layers)
    return tuple(layer for layer in found if layer is not None)


def saturation_by_weights(model: ir.Model) -> tuple[Saturation, ...]:
    """Return the layers of a Q/DQ graph whose weights let two products pass 16 bits."""
    layers = ((node.name or "", saturating_channels(node)) for node in model.graph)
    return tuple(
        Saturation(node=name, channels=could.size, could=int(could.sum()))
        for name, could in layers
        if could.any()
    )


def _of_layer(
    node: onnx.NodeProto,
    constants: Mapping[str, onnx.TensorProto],
    tensors: Mapping[str, NDArray[Any]],
    protected: bool,
) -> Saturation | None:
    if node.input[WEIGHTS[node.op_type]] not in constants:
        return None
    w = _signed_weights(node, constants, protected)
    attributes = {item.name: onnx.helper.get_attribute_value(item) for item in node.attribute}
    conv = node.op_type == "QLinearConv"
    if w.dtype != np.int8 or (conv and is_depthwise(w, int(attributes.get("group", 1)))):
        return None
    rows = summed_rows(w) if conv else w if attributes.get("transB", 0) else np.swapaxes(w, -1, -2)
    risky = may_saturate(rows)
    if not risky.any():
        return None
    x, does = tensors.get(node.input[0]), None
    if x is not None and x.dtype == np.uint8 and rows.ndim == 2 and not attributes.get("transA", 0):
        zero = constants.get(node.input[2]) if conv else None
        padding = np.uint8(0) if zero is None else numpy_helper.to_array(zero)
        columns: list[Column] = [partial(_column, x)]
        if conv:
            columns = _window_columns(x, w, attributes, padding)
        does = int(_happens(rows, risky, columns).sum())
    could = risky.any(-1)
    return Saturation(node=name_of_node(node), channels=could.size, could=int(could.sum()), does=does)


def _signed_weights(
    node: onnx.NodeProto, constants: Mapping[str, onnx.TensorProto], protected: bool
) -> NDArray[Any]:
    """Return the weights, as they were before ONNX Runtime protected them from saturation."""
    place = WEIGHTS[node.op_type]
    w = numpy_helper.to_array(constants[node.input[place]])
    zero = constants.get(node.input[place + 2]) if len(node.input) > place + 2 else None
    if w.dtype != np.uint8 or zero is None or not protected:
        return w
    return (w ^ np.uint8(128)).view(np.int8) if (numpy_helper.to_array(zero) == 128).all() else w


def _happens(rows: NDArray[np.int8], risky: NDArray[np.bool_], columns: list[Column]) -> NDArray[np.bool_]:
    """Say for each channel whether a pair passes 16 bits; ``columns`` has one entry per group of channels."""
    pairs = added_pairs(rows)
    happens = np.zeros(len(rows), bool)
    for channels, column in zip(np.split(np.arange(len(rows)), len(columns)), columns, strict=True):
        for pair in np.flatnonzero(risky[channels].any(0)).tolist():
            asked = channels[risky[channels, pair] & ~happens[channels]]
            if len(asked):
                first = column(2 * pair).astype(np.float32)
                second = column(2 * pair + 1) if 2 * pair + 1 < rows.shape[1] else np.zeros_like(first)
                sums = np.stack([first, second], -1) @ pairs[asked, pair].T.astype(np.float32)
                happens[asked] = (sums.min(0) < _LOWEST) | (sums.max(0) > _HIGHEST)
    return happens


def _column(x: NDArray[np.uint8], k: int) -> NDArray[np.uint8]:
    return x[..., k].ravel()


def _window_columns(
    x: NDArray[np.uint8], w: NDArray[np.int8], attributes: Mapping[str, Any], padding: NDArray[Any] | np.uint8
) -> list[Column]:
    """Return the columns of a convolution, group by group."""
    planes = np.moveaxis(x, -1, 1) if attributes.get("channels_last", 0) else x
    per_group, kernel = w.shape[1], w.shape[2:]
    rank = len(kernel)
    pads = attributes.get("pads", [0] * 2 * rank)
    strides, dilations = (attributes.get(name, [1] * rank) for name in ("strides", "dilations"))
    around = [(0, 0), (0, 0), *zip(pads[:rank], pads[rank:], strict=True)]
    padded = np.pad(planes, around, constant_values=padding)
    reach = [(size - 1) * step + 1 for size, step in zip(kernel, dilations, strict=True)]
    windows = sliding_window_view(padded, reach, axis=tuple(range(2, 2 + rank)))
    windows = windows[:, :, *(slice(None, None, step) for step in (*strides, *dilations))]

    def column(group: int, k: int) -> NDArray[np.uint8]:
        *offset, channel = np.unravel_index(k, (*kernel, per_group))
        return np.ravel(windows[:, group * per_group + channel, ..., *offset])

    return [partial(column, group) for group in range(int(attributes.get("group", 1)))]
