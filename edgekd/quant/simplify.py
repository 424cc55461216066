"""What stands between an operation and its kernel in a traced graph, and is not needed there."""

import torch
from torch import Tensor, fx, nn

from edgekd.quant.global_average import GlobalAverage, global_average
from edgekd.quant.operators import onnx_op

_RESHAPES = ("Reshape", "Flatten", "Squeeze", "Unsqueeze")
_BROADCASTS = ("Add", "Mul")
_CLAMPS = ("Relu", "Clip")


def simplify(graph_module: fx.GraphModule) -> None:
    """Merge equal calls and reshapes, drop broadcasts, bring clamps and BatchNorms to layers, in place."""
    modules = dict(graph_module.named_modules())
    _merge_equal_calls(graph_module.graph, modules)
    calls = [node for node in graph_module.graph.nodes if node.op.startswith("call_")]
    ops = {node: onnx_op(node, modules) for node in calls}
    for node, op in ops.items():
        if op in _CLAMPS:
            _move_before_reshapes(node, ops)
    for node, op in ops.items():
        if op in _RESHAPES:
            _merge_reshape(node, ops)
        elif op == "Expand":
            _drop_broadcast(node, ops)
    for node, op in ops.items():
        if op == "GlobalAveragePool":
            _write_as_mean(graph_module, node)
        before = node.all_input_nodes[0] if op == "BatchNormalization" else None
        if before is not None and not (ops.get(before) in ("Conv", "Gemm") and len(before.users) == 1):
            _carry_batchnorm(graph_module, node, before)
    graph_module.graph.eliminate_dead_code()
    graph_module.recompile()


def _merge_equal_calls(graph: fx.Graph, modules: dict[str, nn.Module]) -> None:
    """What is computed twice from the same is computed once, as in every engine, and gets one quantizer."""
    first: dict[tuple[str, ...], fx.Node] = {}
    for node in graph.nodes:
        target = repr(node.target)
        if node.op == "call_module":
            module = modules[str(node.target)]
            if onnx_op(node, modules) == "Identity":
                continue  # a dropout draws anew
            target = target if [*module.parameters(), *module.buffers()] else repr(module)
        key = (node.op, target, repr(node.args), repr(node.kwargs))
        if node.op.startswith("call_") and first.setdefault(key, node) is not node:
            node.replace_all_uses_with(first[key])
            graph.erase_node(node)


def _shapes(node: fx.Node) -> tuple[torch.Size, ...]:
    return tuple(value.shape for value in node.meta["values"])


def _move_before_reshapes(clamp: fx.Node, ops: dict[fx.Node, str]) -> None:
    """A clamp right behind its layer runs inside the layer's kernel, and the grid is for what it leaves."""
    while len(clamp.all_input_nodes) == 1:
        reshape = clamp.all_input_nodes[0]
        source = reshape.all_input_nodes[0] if ops.get(reshape) in _RESHAPES else None
        if source is None or len(reshape.users) > 1 or len(source.users) > 1:
            return
        clamp.replace_all_uses_with(reshape)
        clamp.replace_input_with(reshape, source)
        reshape.replace_input_with(source, clamp)
        clamp.append(reshape)
        clamp.meta["values"] = source.meta["values"]


def _merge_reshape(node: fx.Node, ops: dict[fx.Node, str]) -> None:
    """A reshape of a reshape reads what the first one read, or is dropped where it restores its shape."""
    before = node.all_input_nodes[0]
    if ops.get(before) not in _RESHAPES:
        return
    source = before.all_input_nodes[0]
    if _shapes(node) == _shapes(source):
        node.replace_all_uses_with(source)
    elif ops[node] == "Reshape" and node.target == "reshape":
        node.replace_input_with(before, source)


def _drop_broadcast(node: fx.Node, ops: dict[fx.Node, str]) -> None:
    """Sums and products broadcast by themselves."""
    source = node.all_input_nodes[0]
    for user in list(node.users):
        others = [other for other in user.all_input_nodes if other is not node]
        fits = [_shapes(other) == _shapes(user) for other in others if other.meta.get("values")]
        if ops.get(user) in _BROADCASTS and fits == [True]:
            user.replace_input_with(node, source)


def _write_as_mean(graph_module: fx.GraphModule, pool: fx.Node) -> None:
    if pool.op == "call_module":
        graph_module.set_submodule(str(pool.target), GlobalAverage())
    else:
        pool.target, pool.args, pool.kwargs = global_average, (pool.all_input_nodes[0],), {}


def _carry_batchnorm(graph_module: fx.GraphModule, norm: fx.Node, before: fx.Node) -> None:
    """Let a BatchNorm follow a depthwise convolution of one pixel that changes nothing."""
    value: Tensor = norm.meta["values"][0]
    channels, graph = value.shape[1], graph_module.graph
    kind = nn.Conv2d if value.dim() == 4 else nn.Conv1d
    carrier = kind(channels, channels, 1, groups=channels, bias=False)
    nn.init.ones_(carrier.weight)
    carrier.weight.requires_grad_(False)
    parent, _, name = str(norm.target).rpartition(".")
    path = f"{parent}.{name}_carrier" if parent else f"{name}_carrier"
    while hasattr(graph_module.get_submodule(parent), path.rpartition(".")[2]):
        path += "_"
    graph_module.add_submodule(path, carrier)
    with graph.inserting_before(norm):
        signal = before if value.dim() > 2 else graph.call_method("unsqueeze", (before, 2))
        carried = graph.call_module(path, (signal,))
    norm.replace_input_with(before, carried)
    made = [carried]
    if value.dim() == 2:
        with graph.inserting_after(norm):
            rows = graph.call_method("flatten", (norm, 1))
        norm.replace_all_uses_with(rows, delete_user_cb=lambda user: user is not rows)
        made += [signal, rows]
    for node in made:
        node.meta.update({key: norm.meta.get(key) for key in ("nn_module_stack", "line")})
        node.meta["values"] = norm.meta["values"]
