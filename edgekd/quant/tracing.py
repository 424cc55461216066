"""Trace a network with torch.fx: a graph of the operators that the rule table speaks of."""

from torch import Tensor, fx, nn
from torch.nn.utils import parametrize

from edgekd.errors import EdgeKdError, ExportError
from edgekd.quant.concrete import ConcreteTracer
from edgekd.quant.user_line import line_of


def trace(model: nn.Module, example: Tensor) -> fx.GraphModule:
    """Return ``model`` as a graph that keeps its modules and their paths; ``model`` itself is used up.

    Args:
        model: The network.
        example: A batch of inputs; its sizes are those that the graph is made for, the batch size stays free.

    Raises:
        ExportError: If the forward pass depends on values or has control flow on tensors; names file and
            line.
        SchemeError: If an operation has no integer form and cannot be written as others.
    """
    _compute_weights(model)
    tracer = ConcreteTracer()
    try:
        graph = tracer.trace_with(model, example)
    except EdgeKdError:
        raise
    except Exception as e:
        what = f"the network cannot be traced: {type(e).__name__}: {_first_line(e)}"
        raise ExportError(
            what,
            where=line_of(e),
            fix="replace control flow and Python conversions that depend on tensor values or the batch size",
        ) from e
    _own(tracer, model, graph)
    return fx.GraphModule(model, graph)


def _compute_weights(model: nn.Module) -> None:
    """Compute once what a parametrization, such as weight_norm, makes of weights; the result is trained."""
    for module in list(model.modules()):
        if parametrize.is_parametrized(module):
            assert isinstance(module.parametrizations, nn.ModuleDict)
            for name in list(module.parametrizations):
                parametrize.remove_parametrizations(module, name, leave_parametrized=True)


def _own(tracer: ConcreteTracer, model: nn.Module, graph: fx.Graph) -> None:
    """Give the model what tracing added, and every module a path that attribute access finds."""
    for path, module in tracer.added.items():
        parent, _, name = path.rpartition(".")
        model.get_submodule(parent).add_module(name, module)
    for name, tensor in tracer.constants.items():
        if tensor.requires_grad:
            model.register_parameter(name, nn.Parameter(tensor.detach().clone()))
        else:
            model.register_buffer(name, tensor.detach().clone())
    graph.owning_module = model  # type: ignore[assignment]
    graph.eliminate_dead_code()
    for node in graph.nodes:
        node.meta["values"] = tracer.values.get(node)
        if node.op == "call_module":
            node.target = _reachable(model, node.target)
        elif node.op == "get_attr" and "." in node.target:
            parent, _, name = node.target.rpartition(".")
            node.target = f"{_reachable(model, parent)}.{name}"
    for module in model.modules():
        if getattr(module, "inplace", False):
            module.inplace = False  # type: ignore[assignment]


def _reachable(model: nn.Module, path: str) -> str:
    """Rename the first module of a path if graph modules use its name otherwise, such as ``code``."""
    first, dot, rest = path.partition(".")
    if hasattr(fx.GraphModule, first):
        if first in model._modules:
            model._modules[f"{first}_"] = model._modules.pop(first)
        first += "_"
    return f"{first}{dot}{rest}"


def _first_line(error: BaseException) -> str:
    return str(error).strip().splitlines()[0] if str(error).strip() else ""
