"""Where quantizers go: reads the traced graph, the rule table and the profile."""

import itertools
from collections.abc import Callable, Iterable, Iterator

from torch import Tensor, fx, nn
from torch.nn.utils import parametrize

from edgekd.core.grid import IntGrid
from edgekd.core.profile import Profile
from edgekd.core.rules import Role, Rule, rule, rules_for
from edgekd.errors import SchemeError
from edgekd.quant.operators import module_path, onnx_op, place
from edgekd.quant.pixels import MarkedPixels
from edgekd.quant.quantizer import Quantizer
from edgekd.quant.scheme import QuantScheme
from edgekd.zoo.pixels import PixelGrid

_CALLS = ("call_module", "call_function", "call_method")
_WEIGHTED = ("Conv", "Gemm")


class Placement:
    """Puts weight and activation quantizers into one traced network, in place.

    The graph is seen as groups: an operator whose result starts a new grid, followed by the operators that
    run inside its kernel (BatchNorm, ReLU). What comes out of a group is quantized once.
    """

    def __init__(self, graph_module: fx.GraphModule, profile: Profile, scheme: QuantScheme) -> None:
        self.graph_module = graph_module
        self.profile = profile
        self.scheme = scheme
        self.modules = dict(graph_module.named_modules())
        calls = [node for node in graph_module.graph.nodes if node.op in _CALLS]
        self.ops = {node: onnx_op(node, self.modules) for node in calls}
        self.order = {node: index for index, node in enumerate(graph_module.graph.nodes)}
        self.quantizers = nn.ModuleDict()
        graph_module.add_module("quantizers", self.quantizers)

    def place(self) -> None:
        """Place every quantizer that the profile asks for."""
        self._mark_pixels()
        self._place_weights()
        groups = [node for node in self.ops if self._starts_group(node)]
        inputs = [node for node in self.graph_module.graph.nodes if node.op in ("placeholder", "get_attr")]
        if self.profile.edges == "outputs":
            self._quantize_results(inputs, groups)
        else:
            self._quantize_reads(groups)
        self.graph_module.graph.lint()
        self.graph_module.recompile()

    def _quantize_results(self, inputs: list[fx.Node], groups: list[fx.Node]) -> None:
        for node in inputs:
            if not self._reads_pixels(node):
                self._quantize(node, list(node.users), head=node)
        for head in groups:
            end = self._group_end(head)
            clamped = {"Relu", "Clip"} & {self.ops[node] for node in _group(head, end)}
            float_result = self.ops[head] == "Gemm" and self._is_output(end) and not clamped
            if not float_result and not self._is_pixels(head):
                self._quantize(end, list(end.users), head=head)

    def _quantize_reads(self, groups: list[fx.Node]) -> None:
        readers: dict[fx.Node, list[fx.Node]] = {}
        for node in self.ops:
            for read in self._quantized_reads(node):
                readers.setdefault(read, []).append(node)
        heads = {self._group_end(head): head for head in groups}
        for node in reversed(self.ops):
            if node in readers and self._only_copies(node, readers[node]):
                readers.setdefault(node.all_input_nodes[0], []).append(node)
                del readers[node]
        for read, users in readers.items():
            if not self._is_pixels(read):
                self._quantize(read, users, head=heads.get(read, read))

    def _only_copies(self, node: fx.Node, quantized: list[fx.Node]) -> bool:
        """Whether a node copies numbers, as a max pool does, for nodes that all want them quantized."""
        rows = rules_for(self.ops[node])
        readers = {user for user in node.users if self.ops.get(user) != "Shape"}
        shares = bool(rows) and rows[0].role is Role.SHARE
        if not (shares or self.ops[node] == "Identity") or not readers.issubset(quantized):
            return False
        source = node.all_input_nodes[0]
        if not shares and len(source.users) == 1:
            return False  # a part of the group before it
        return source.op != "get_attr" and self.ops.get(source) != "Split" and not self._is_pixels(source)

    def _quantized_reads(self, node: fx.Node) -> list[fx.Node]:
        if any(row.quantized_reads for row in rules_for(self.ops[node])):
            return list(node.all_input_nodes)
        if self._adds(node):
            skip = min(node.all_input_nodes, key=lambda read: (self._is_convolution(read), self.order[read]))
            return [skip]
        return []

    def _is_convolution(self, node: fx.Node) -> bool:
        """Whether a convolution makes the node, and may add to it: nothing else reads it."""
        if len(node.users) != 1:
            return False
        if self.ops.get(node) == "BatchNormalization":
            return self._is_convolution(node.all_input_nodes[0])
        return self.ops.get(node) == "Conv"

    def _mark_pixels(self) -> None:
        for node in self.ops:
            if self._is_pixels(node):
                grid = self.modules[str(node.target)]
                assert isinstance(grid, PixelGrid)
                marked = MarkedPixels(grid.scale, grid.zero_point)
                self.graph_module.set_submodule(str(node.target), marked)

    def _place_weights(self) -> None:
        graph = self.graph_module.graph
        first = self._nearest_weighted(graph.find_nodes(op="placeholder"), lambda node: node.users)
        last = self._nearest_weighted(graph.find_nodes(op="output"), lambda node: node.all_input_nodes)
        for node in [node for node, op in self.ops.items() if op in _WEIGHTED]:
            module = self.modules[str(node.target)] if node.op == "call_module" else None
            if module is None:
                what = "the weights of a convolution or linear layer are computed from the input"
                raise SchemeError(what, where=place(node), fix="use nn.Conv2d or nn.Linear")
            if parametrize.is_parametrized(module, "weight"):
                continue  # one module used at several places
            bits = self.scheme.weights.bits
            bits = self.scheme.first_layer_bits if node in first else bits
            bits = self.scheme.last_layer_bits if node in last else bits
            weight = module.weight
            spec = self.scheme.weights_at(bits)
            quantizer = spec.build(
                spec.weight_grid, axis=0, mark=self._weight_mark(node), channels=weight.shape[0]
            )
            parametrize.register_parametrization(module, "weight", quantizer.to(weight.device))

    def _nearest_weighted(
        self, ends: Iterable[fx.Node], step: Callable[[fx.Node], Iterable[fx.Node]]
    ) -> set[fx.Node]:
        """Return the layers met first on every way from ``ends``; a tensor's shape is no way."""
        waiting, seen = list(ends), set[fx.Node]()
        while waiting:
            node = waiting.pop()
            if node not in seen and self.ops.get(node) not in ("Shape", *_WEIGHTED):
                waiting.extend(step(node))
            seen.add(node)
        return {node for node in seen if self.ops.get(node) in _WEIGHTED}

    def _weight_mark(self, node: fx.Node) -> str:
        taken = weight_quantizers(self.graph_module)
        return next(mark for mark in _numbered(f"{_name(node)}.weight") if mark not in taken)

    def _quantize(self, node: fx.Node, users: Iterable[fx.Node], *, head: fx.Node) -> None:
        users = list(users)
        summed = self._adds(head) or self._reaches_sum(users)
        bits = self.scheme.residual_bits if summed else self.scheme.activations.bits
        grid = self.profile.activation_grid(bits=bits, non_negative=self._non_negative(node))
        quantizer = self.scheme.activations.build(grid, axis=None, mark=self._mark(head))
        quantizer.largest_scale = self._largest_scale(node, head, grid)
        quantizer.fixed_scale = 1.0 / (grid.qmax + 1) if self.ops.get(head) == "Softmax" else None
        name = quantizer.mark.replace(".", "_")
        self.quantizers[name] = quantizer
        with self.graph_module.graph.inserting_after(node):
            quantized = self.graph_module.graph.call_module(f"quantizers.{name}", (node,))
        for user in users:
            user.replace_input_with(node, quantized)

    def _adds(self, node: fx.Node) -> bool:
        """Whether the node is a residual addition: of two tensors, not of a constant."""
        return self.ops.get(node) == "Add" and len(node.all_input_nodes) == 2

    def _reaches_sum(self, users: Iterable[fx.Node]) -> bool:
        """Whether a residual addition reads the codes, if through operators that only hand them on."""
        return any(
            self._adds(user)
            or (user in self.ops and not self._starts_group(user) and self._reaches_sum(user.users))
            for user in users
        )

    def _largest_scale(self, node: fx.Node, head: fx.Node, grid: IntGrid) -> float | None:
        """ReLU6: a grid that reaches beyond 6 keeps the clamp and the convolution in float."""
        clamped = any(self.ops.get(member) == "Clip" for member in _group(head, node))
        return 6.0 / grid.qmax if clamped else None

    def _mark(self, head: fx.Node) -> str:
        if head.op == "placeholder":
            name = head.name
        elif head.op == "get_attr" or head.op == "call_module":
            name = _name(head)
        else:
            path = module_path(head).removeprefix("body.")
            name = (
                self.ops[head].lower()
                if path in ("(top level)", "body")
                else f"{path}.{self.ops[head].lower()}"
            )
        return next(mark for mark in _numbered(name) if mark.replace(".", "_") not in self.quantizers)

    def _rule(self, node: fx.Node) -> Rule:
        """Return the row that decides a node's role."""
        if self.ops[node] == "Relu" and not self._is_absorbed(node):
            return rule("relu_on_codes")
        return rules_for(self.ops[node])[0]

    def _is_transparent(self, node: fx.Node) -> bool:
        return node in self.ops and self.ops[node] in ("Identity", "Shape")

    def _starts_group(self, node: fx.Node) -> bool:
        if self._is_transparent(node) or self._is_absorbed(node):
            return False
        if self.ops[node] == "BatchNormalization":
            what = "a BatchNorm that does not follow a convolution or linear layer cannot be folded"
            raise SchemeError(what, where=place(node), fix=rule("batch_norm").advice)
        return self._rule(node).role in (Role.QUANTIZE, Role.FLOAT, Role.ABSORB)

    def _is_absorbed(self, node: fx.Node) -> bool:
        """Whether the node runs inside the kernel of the node before it, which nothing else may read."""
        op = self.ops[node]
        if rules_for(op) == () or rules_for(op)[0].role is not Role.ABSORB:
            return False
        before = node.all_input_nodes[0]
        if before not in self.ops or len(before.users) != 1 or self._is_pixels(before):
            return False
        if op == "BatchNormalization":
            return self.ops[before] in _WEIGHTED
        role = rules_for(self.ops[before])[0].role if rules_for(self.ops[before]) else None
        return role is Role.QUANTIZE or (
            self.ops[before] == "BatchNormalization" and self._is_absorbed(before)
        )

    def _group_end(self, head: fx.Node) -> fx.Node:
        end = head
        while len(end.users) == 1:
            user = next(iter(end.users))
            if user not in self.ops or not (self._is_absorbed(user) or self._is_transparent(user)):
                break
            end = user
        return end

    def _is_output(self, node: fx.Node) -> bool:
        """Whether only the network's output reads the node, if through operators that share its grid."""
        if not node.users:
            return True
        return all(
            user.op == "output"
            or (user in self.ops and not self._starts_group(user) and self._is_output(user))
            for user in node.users
        )

    def _is_pixels(self, node: fx.Node) -> bool:
        return node.op == "call_module" and isinstance(self.modules[str(node.target)], PixelGrid)

    def _reads_pixels(self, placeholder: fx.Node) -> bool:
        return any(self._is_pixels(user) for user in placeholder.users)

    def _non_negative(self, node: fx.Node) -> bool:
        """Whether the node's result can never be negative, so that its grid may start at 0."""
        if node.op == "call_module" and str(node.target).startswith("quantizers."):
            return self._non_negative(node.all_input_nodes[0])
        if node not in self.ops:
            return False
        inputs = node.all_input_nodes
        scalars = [value for value in (*node.args, *node.kwargs.values()) if isinstance(value, int | float)]
        if self.ops[node] in ("Add", "Mul"):
            return all(self._non_negative(x) for x in inputs) and all(value >= 0 for value in scalars)
        if self._is_transparent(node):
            return self._non_negative(inputs[0])
        verdict = rules_for(self.ops[node])[0].non_negative
        return all(self._non_negative(x) for x in inputs) if verdict is None else verdict


def _group(head: fx.Node, end: fx.Node) -> list[fx.Node]:
    members = [end]
    while members[-1] is not head:
        members.append(members[-1].all_input_nodes[0])
    return members


def _numbered(name: str) -> Iterator[str]:
    yield name
    yield from (f"{name}_{number}" for number in itertools.count(2))


def _name(node: fx.Node) -> str:
    return str(node.target).removeprefix("body.")


def activation_quantizers(student: fx.GraphModule) -> dict[str, Quantizer]:
    """Return the activation quantizers of a prepared network by mark, in execution order."""
    modules = dict(student.named_modules())
    targets = [str(node.target) for node in student.graph.nodes if node.op == "call_module"]
    found = [modules[target] for target in targets]
    return {module.mark: module for module in found if isinstance(module, Quantizer)}


def weight_quantizers(student: nn.Module) -> dict[str, tuple[nn.Module, Quantizer]]:
    """Return (layer, quantizer) of every quantized weight of a prepared network by mark."""
    found: dict[str, tuple[nn.Module, Quantizer]] = {}
    for module in student.modules():
        if parametrize.is_parametrized(module, "weight"):
            quantizer = module.parametrizations["weight"][0]  # type: ignore[index]
            if isinstance(quantizer, Quantizer):
                found[quantizer.mark] = (module, quantizer)
    return found


def float_weight(layer: nn.Module) -> Tensor:
    """Return the weight of a layer in front of its quantizer."""
    weight: Tensor = layer.parametrizations["weight"].original  # type: ignore[union-attr,index]
    return weight
