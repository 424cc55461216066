"""Integer coverage of a TensorRT engine, from what its builder or its inspector says of its layers.

What counts are the layers that multiply and add: convolutions and matrix products, which run on int8 or do
not. What stands between them (scaling, ReLU, rounding, additions) TensorRT computes in float registers of
fused kernels, whatever the quantizers around it.
"""

import json
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import onnx_ir as ir

from edgekd.lower.graph import is_op
from edgekd.lower.lint import node_name
from edgekd.lower.qdq import LAYERS
from edgekd.lower.tensorrt_lint import lint_tensorrt, multiplies_codes
from edgekd.runtimes.coverage import Coverage, CoverageSource, Fallback
from edgekd.runtimes.lost_time import Kind, NodeCost

_PRODUCT = re.compile(r"(?i)conv|gemm|correlation|matrix|matmul")
_ATTENTION = re.compile(r"_\w*mha")
_PRODUCTS = (*LAYERS, "ConvTranspose", "Einsum")
_LINE = re.compile(
    r"Name: (?P<name>.*?), LayerType: (?P<kind>.*?), Inputs: \[(?P<inputs>.*?)\], Constants: "
    r"\[(?P<constants>.*?)\], Outputs: \[(?P<outputs>.*?)\], TacticName: .*?Metadata: ?(?P<metadata>.*)"
)
_TYPE = re.compile(r"Datatype: (\w+)")
_ONNX = re.compile(r"\[ONNX Layer: ([^\]\x1e]*)\]")
_NAMELESS = "node_of_"  # what TensorRT calls an operator without a name: this, and the name of its result
_NO_TYPES = "the engine does not say what it computes with"


@dataclass(frozen=True)
class EngineLayer:
    """One layer of an engine.

    Attributes:
        name: Its name.
        kind: Its type, as TensorRT calls it.
        reads: Types of what it reads, constants among them, in lower case; empty where that is not told.
        onnx: Names of the operators of the file that it computes.
    """

    name: str
    kind: str
    reads: tuple[str, ...]
    onnx: tuple[str, ...]

    @property
    def multiplies(self) -> bool:
        """Whether it is a convolution, a matrix product, or attention, whose kind does not tell."""
        return bool(_PRODUCT.search(self.kind) or _ATTENTION.match(self.name))

    @property
    def is_integer(self) -> bool:
        """Whether what it multiplies is int8."""
        return "int8" in self.reads[:1]


def layers_of_log(text: str) -> tuple[EngineLayer, ...]:
    """Return the layers of a builder's message; empty if it has none."""
    return tuple(
        EngineLayer(
            name=found["name"],
            kind=found["kind"],
            reads=tuple(map(str.lower, _TYPE.findall(found["inputs"] + found["constants"]))),
            onnx=tuple(_ONNX.findall(found["metadata"])),
        )
        for found in _layer_lines(text)
    )


def _layer_lines(text: str) -> Iterable[re.Match[str]]:
    """Find layers line by line; sizes of tensors are lists in lists, so brackets are made unlike."""
    for line in text.splitlines():
        head, _, metadata = line.partition("Metadata:")
        flat = re.sub(r"(Dimensions|Strides|StrideOrder): \[[^\]]*\]", r"\1", head)
        if found := _LINE.match(f"{flat}Metadata:{metadata}".strip()):
            yield found


def layers_of_inspector(shown: bytes) -> tuple[EngineLayer, ...]:
    """Return the layers that an engine's inspector tells; empty if that cannot be read."""
    try:
        told = json.loads(shown)["Layers"]
        return tuple(_inspected(item) for item in told if isinstance(item, Mapping))
    except (ValueError, TypeError, LookupError, RecursionError, AttributeError):
        return ()


def _inspected(item: Mapping[str, Any]) -> EngineLayer:
    kinds = [str(tensor.get("Format/Datatype") or tensor.get("Datatype") or "") for tensor in item["Inputs"]]
    return EngineLayer(
        name=str(item["Name"]),
        kind=str(item["LayerType"]),
        reads=tuple("int8" if "int8" in kind.lower() else kind.lower() for kind in kinds),
        onnx=tuple(_ONNX.findall(str(item.get("Metadata", "")))),
    )


def engine_coverage(
    layers: Sequence[EngineLayer],
    model: ir.Model | None,
    times_us: Mapping[str, float],
    *,
    source: CoverageSource = "engine",
) -> Coverage:
    """Say of every convolution and matrix product what the engine computes it with.

    The time on integers is that of layers that multiply int8: all else counts as float, fused or not. A layer
    that computes several products costs each an equal part.

    Args:
        layers: Of the engine.
        model: The file that it was built from; without it, operators are called as the engine calls them.
        times_us: Microseconds by layer; empty if they were not measured.
        source: What the layers come from.
    """
    products = sorted(filter(lambda layer: layer.multiplies, layers), key=lambda layer: not layer.is_integer)
    computed = {name: layer for layer in products for name in layer.onnx or (layer.name,)}  # float counts
    operators = {name: layer.kind for name, layer in computed.items()} if model is None else _products(model)
    reasons = {} if model is None else _reasons(model)
    found = {name: computed.get(name, computed.get(f"{_NAMELESS}{name}")) for name in operators}
    sharing = Counter(layer.name for layer in found.values() if layer is not None)
    total, fallbacks, costs = sum(times_us.values()), [], []
    for name, op_type in operators.items():
        layer, share = found[name], None
        if layer is not None and total:
            share = times_us.get(layer.name, 0.0) / sharing[layer.name] / total
        integer = layer is not None and layer.is_integer
        if not integer:
            reads = ", ".join(layer.reads[:1]) if layer is not None else ""
            told = f"the engine computes it with {reads}" if reads else _NO_TYPES
            fallbacks.append(Fallback(name, op_type, "; ".join(filter(None, (told, reasons.get(name, ""))))))
        kind: Kind = "integer" if integer else "float"
        costs.append(NodeCost(node=name, op=op_type, kind=kind, time_share=share))
    costs.sort(key=lambda cost: -(cost.time_share or 0.0))
    on_integers = sum(times_us.get(layer.name, 0.0) for layer in products if layer.is_integer)
    share = on_integers / total if total else None
    integers = len(operators) - len(fallbacks)
    return Coverage(integers, tuple(fallbacks), share, source, tuple(costs))


def file_coverage(model: ir.Model) -> Coverage:
    """Say of every convolution and matrix product of a file whether its quantizers allow int8."""
    operators, reasons = _products(model), _reasons(model)
    fallbacks = [Fallback(name, operators[name], why) for name, why in reasons.items() if name in operators]
    return Coverage(len(operators) - len(fallbacks), tuple(fallbacks), source="file")


def _products(model: ir.Model) -> dict[str, str]:
    return {node_name(node): node.op_type for node in model.graph if is_op(node, *_PRODUCTS)}


def _reasons(model: ir.Model) -> dict[str, str]:
    """Return why products run in float, by name; what the lint says of it comes first."""
    told = {
        item.node: f"{item.what}; {item.fix} [{item.rule}]"
        for item in lint_tensorrt(model)
        if item.severity == "float"
    }
    products = [node for node in model.graph if is_op(node, *_PRODUCTS)]
    floats = [node_name(node) for node in products if not multiplies_codes(node)]
    return {**dict.fromkeys(floats, "its inputs are not both quantized"), **told}
