"""A tracer that knows sizes, so that the forward pass of a network may compute with them.

Sizes are known while tracing, because every operation is also carried out on tensors without data, once for
each of two batch sizes. What is the same for both is a plain number, so that a forward pass may compute with
sizes and branch on them; what differs depends on the batch and stays in the graph. What depends on weights
alone is computed once and is a weight from then on. In-place operations become ordinary ones, and
composite operations are written as those that have integer kernels (:mod:`edgekd.quant.rewrites`).
"""

import inspect
import operator
from collections.abc import Callable, Iterator
from typing import Any
from unittest import mock

import torch
import torch.nn.functional as F
from torch import Tensor, fx, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.fx import _symbolic_trace
from torch.fx.node import map_aggregate

from edgekd.quant.modes import FollowsMode, Mode
from edgekd.quant.operators import IN_EVAL, LINE, is_known_layer
from edgekd.quant.rewrites import REWRITES, apply_to_rows, as_shape, is_reshape
from edgekd.quant.rewriting.attention import attend_with
from edgekd.quant.rewriting.rewrite import Rewrite, is_batch_size, is_number
from edgekd.quant.user_line import user_line

_INPLACE: dict[Callable[..., Any], Callable[..., Any]] = {
    operator.iadd: operator.add,
    operator.isub: operator.sub,
    operator.imul: operator.mul,
    operator.itruediv: operator.truediv,
    torch.relu_: torch.relu,
    F.relu_: F.relu,
}


class _Known(fx.Proxy):
    """A proxy whose sizes are known."""

    @property
    def _values(self) -> tuple[Any, Any]:
        tracer = self.tracer
        assert isinstance(tracer, ConcreteTracer)
        return tracer.values[self.node]

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") or not hasattr(self._values[0], name):
            raise AttributeError(name)
        if callable(getattr(self._values[0], name)):
            return super().__getattr__(name)
        return self.tracer.create_proxy("call_function", getattr, (self, name), {})

    def _overwrite(self, function: Callable[..., Any], other: Any) -> Any:
        return self.tracer.create_proxy("call_function", function, (self, other), {})

    def __iadd__(self, other: Any) -> Any:
        return self._overwrite(operator.iadd, other)

    def __isub__(self, other: Any) -> Any:
        return self._overwrite(operator.isub, other)

    def __imul__(self, other: Any) -> Any:
        return self._overwrite(operator.imul, other)

    def __itruediv__(self, other: Any) -> Any:
        return self._overwrite(operator.itruediv, other)

    def __iter__(self) -> Iterator[Any]:
        return iter([operator.getitem(self, index) for index in range(len(self))])

    def __len__(self) -> int:
        first, second = (len(value) for value in self._values)
        if first != second:
            msg = "len() and loops take plain numbers, this one depends on the batch: use x.shape[0]"
            raise fx.proxy.TraceError(msg)
        return first


class ConcreteTracer(fx.Tracer):
    """Records operations with what they give for two batch sizes.

    Attributes:
        values: By node, the results for both batch sizes; real tensors if they depend on weights alone.
        added: Modules that the network does not have under that path: functional layers, dropouts.
        constants: Tensors computed from weights, by name.
    """

    proxy_buffer_attributes = True

    def __init__(self) -> None:
        super().__init__()
        self.values: dict[fx.Node, tuple[Any, Any]] = {}
        self.added: dict[str, nn.Module] = {}
        self.constants: dict[str, Tensor] = {}
        self._layers: dict[Any, str] = {}
        self._constant: set[fx.Node] = set()
        self._overwritten: dict[fx.Node, fx.Proxy] = {}
        self._fake = FakeTensorMode(allow_non_fake_inputs=True)
        self._evaluating = False

    def trace_with(self, model: nn.Module, example: Tensor) -> fx.Graph:
        """Trace a model, in eval mode, on inputs like ``example`` (n, ...)."""
        batches = (2, 3) if len(example) == 1 else (len(example), len(example) + 1)
        with self._fake:
            shapes = [(batch, *example.shape[1:]) for batch in batches]
            first, second = (torch.empty(shape, dtype=example.dtype) for shape in shapes)
            self._inputs = first, second
        model.eval()
        self._tensors = {**dict(model.named_parameters()), **dict(model.named_buffers())}
        marked = list(self._traced_through(model))
        for module in marked:
            module.training = Mode(0)  # type: ignore[assignment]
        try:
            with mock.patch.dict(_symbolic_trace._wrapped_fns_to_patch, clear=True):
                return self.trace(model)  # also through functions that others have wrapped for their sizes
        finally:
            for module in marked:
                module.training = False

    def _traced_through(self, module: nn.Module) -> Iterator[nn.Module]:
        yield module
        for child in module.children():
            if not self.is_leaf_module(child, ""):
                yield from self._traced_through(child)

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        """Whether the rule table speaks of the module as a whole; others are traced through."""
        return is_known_layer(m)

    def proxy(self, node: fx.Node) -> fx.Proxy:
        """Wrap a node."""
        return _Known(node, self)

    def getattr(self, attr: str, attr_val: Any, parameter_proxy_cache: dict[str, Any]) -> Any:
        """Return a weight as a proxy, unless a layer is being carried out."""
        return attr_val if self._evaluating else super().getattr(attr, attr_val, parameter_proxy_cache)

    def create_arg(self, a: Any) -> Any:
        """Return what stands in the graph for an argument: the newest version of a tensor."""
        if isinstance(a, fx.Proxy):
            return self._newest(a).node
        if isinstance(a, Tensor) and not isinstance(a, nn.Parameter):
            return self._constant_proxy(a).node
        return super().create_arg(a)

    def call_module(
        self, m: nn.Module, forward: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        """Trace through a module; one that only does something in training stays a module."""
        if self._evaluating:
            return forward(*args, **kwargs)
        result = super().call_module(m, forward, args, kwargs)
        weightless = not any(True for _ in (*m.parameters(), *m.buffers(), *m.children()))
        if args and result is args[0] and weightless and not isinstance(m, nn.Identity):
            setattr(m, IN_EVAL, True)
            return self.create_proxy("call_module", self.path_of_module(m), args, kwargs)
        return result

    def create_proxy(
        self,
        kind: str,
        target: Any,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        name: str | None = None,
        type_expr: Any = None,
        proxy_factory_fn: Any = None,
    ) -> Any:
        """Record one operation, or what it is written as, and return its result."""
        if kind == "placeholder" and args:
            return args[0]  # an option of forward, at its default
        if kind == "placeholder":
            proxy = super().create_proxy(kind, target, args, kwargs, name, type_expr)
            self.values[proxy.node] = self._inputs
            return proxy
        if kind == "get_attr":
            proxy = super().create_proxy(kind, target, args, kwargs, name, type_expr)
            value = self._tensors[target]
            self._constant.add(proxy.node)
            self.values[proxy.node] = (value, value)
            return proxy
        args, kwargs = map_aggregate((args, kwargs), self._newest_if_proxy)
        target = "reshape" if kind == "call_method" and target == "view" else target
        target, args, kwargs, inplace = self._out_of_place(kind, target, args, kwargs)
        result = self._record(kind, target, args, kwargs)
        if inplace and isinstance(args[0], fx.Proxy) and isinstance(self.values[args[0].node][0], Tensor):
            self._overwritten[args[0].node] = result
        return result

    def _record(self, kind: str, target: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        proxies = _proxies((args, kwargs))
        if proxies and all(proxy.node in self._constant for proxy in proxies):
            return self._compute(kind, target, args, kwargs)
        rewrite = self._rewrite(kind, target, args)
        if rewrite is not None:
            result = rewrite(*args, **kwargs)
            if result is not NotImplemented:
                return result
        if kind == "call_function" and any(isinstance(value, Mode) for value in _leaves((args, kwargs))):
            return self.call_added(FollowsMode(target, args[1:], kwargs), args[0])
        values = tuple(self._evaluate(kind, target, args, kwargs, index) for index in (0, 1))
        if is_reshape(target, args):
            kind, target, args, kwargs = "call_method", "reshape", (args[0], *as_shape(*values)), {}
        sizes = [is_batch_size(arg) for arg in args]
        decided = isinstance(values[0], bool) or (is_number(values[0]) and _same(*values))
        if decided and any(sizes) and not all(sizes):
            msg = (
                "the batch size decides what the network does"  # n > 1, or n // 4: 0 for both that are tried
            )
            raise fx.proxy.TraceError(msg)
        if not isinstance(values[0], Tensor | tuple | list) and _same(*values):
            return values[0]  # a size: no node at all
        proxy: Any = super().create_proxy(kind, target, args, kwargs)
        proxy.node.meta[LINE] = user_line()
        self.values[proxy.node] = values
        if isinstance(values[0], tuple | list) and not any(isinstance(v, Tensor) for v in values[0]):
            return tuple(a if _same(a, b) else proxy[i] for i, (a, b) in enumerate(zip(*values, strict=True)))
        return proxy

    def call_added(self, module: nn.Module, *args: Any, key: Any = None) -> Any:
        """Call a module that the network does not own; one per ``key`` (None: a new one)."""
        if key is None or key not in self._layers:
            path = self._path()
            name = f"{path}.{type(module).__name__.lower()}" if path else type(module).__name__.lower()
            while name in self.added or self._taken(name):
                name += "_"
            self.added[name] = module.eval()
            self._layers[key] = name
        return self.create_proxy("call_module", self._layers[key], args, {})

    def weights(self, value: Any) -> Tensor | None:
        """Return the tensor behind an argument that depends on weights alone; None if it does not."""
        if isinstance(value, fx.Proxy):
            return self.values[value.node][0] if value.node in self._constant else None
        return value if isinstance(value, Tensor) else None

    def _taken(self, path: str) -> bool:
        parent, _, name = path.rpartition(".")
        return hasattr(self.root.get_submodule(parent), name)

    def _path(self) -> str:
        stack = list(self.module_stack.values())
        return str(stack[-1][0]) if stack else ""

    def _rewrite(self, kind: str, target: Any, args: tuple[Any, ...]) -> Rewrite | None:
        if kind == "call_module":
            module = self._module(target)
            if isinstance(module, nn.Linear) and args[0].ndim > 2:
                return lambda x: apply_to_rows(x, target, module.out_features)
            return attend_with(module) if isinstance(module, nn.MultiheadAttention) else None
        return REWRITES.get(target)

    def _module(self, path: str) -> nn.Module:
        return self.added[path] if path in self.added else self.root.get_submodule(path)

    def _evaluate(self, kind: str, target: Any, args: Any, kwargs: Any, index: int) -> Any:
        def value(leaf: Any) -> Any:
            found = self.values[leaf.node][index] if isinstance(leaf, fx.Proxy) else leaf
            return bool(found) if isinstance(found, Mode) else found

        real_args, real_kwargs = map_aggregate((args, kwargs), value)
        with self._fake, torch.no_grad():
            return self._call(kind, target, real_args, real_kwargs)

    def _call(self, kind: str, target: Any, args: Any, kwargs: Any) -> Any:
        self._evaluating = True
        try:
            if kind == "call_module":
                return self._module(target)(*args, **kwargs)
            if kind == "call_method":
                return getattr(args[0], target)(*args[1:], **kwargs)
            return target(*args, **kwargs)
        finally:
            self._evaluating = False

    def _compute(self, kind: str, target: Any, args: Any, kwargs: Any) -> Any:
        """Carry out an operation on weights."""
        leaves = _leaves((args, kwargs))
        sources = [self.weights(leaf) for leaf in leaves]
        trained = any(source is not None and source.requires_grad for source in sources)

        def value(leaf: Any) -> Any:
            found = self.weights(leaf) if isinstance(leaf, fx.Proxy) else leaf
            return bool(found) if isinstance(found, Mode) else found

        real_args, real_kwargs = map_aggregate((args, kwargs), value)
        with torch.no_grad():
            result = self._call(kind, target, real_args, real_kwargs)
        return map_aggregate(result, lambda leaf: self._as_constant(leaf, trained))

    def _as_constant(self, leaf: Any, trained: bool) -> Any:
        if not isinstance(leaf, Tensor):
            return leaf
        return self._constant_proxy(leaf.detach().requires_grad_(trained and leaf.is_floating_point()))

    def _constant_proxy(self, tensor: Tensor) -> fx.Proxy:
        path = self._path().replace(".", "_")
        name = f"{path}_constant" if path else "constant"
        while name in self.constants or hasattr(self.root, name):
            name += "_"
        self.constants[name] = tensor
        proxy = super().create_proxy("get_attr", name, (), {})
        self._constant.add(proxy.node)
        self.values[proxy.node] = (tensor, tensor)
        return proxy

    def _newest_if_proxy(self, leaf: Any) -> Any:
        return self._newest(leaf) if isinstance(leaf, fx.Proxy) else leaf

    def _newest(self, proxy: fx.Proxy) -> fx.Proxy:
        while proxy.node in self._overwritten:
            proxy = self._overwritten[proxy.node]
        return proxy

    def _out_of_place(
        self, kind: str, target: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> tuple[Any, tuple[Any, ...], dict[str, Any], bool]:
        """Return an operation that makes a new tensor, and whether it was one that overwrites."""
        if kind == "call_module":
            return target, args, kwargs, bool(getattr(self._module(target), "inplace", False))
        if kind == "call_method":
            inplace = target.endswith("_") and not target.endswith("__")
            return target.removesuffix("_") if inplace else target, args, kwargs, inplace
        if target in _INPLACE:
            return _INPLACE[target], args, kwargs, True
        if inspect.isfunction(target) and "inplace" in inspect.signature(target).parameters:
            bound = inspect.signature(target).bind(*args, **kwargs)
            inplace = bool(bound.arguments.get("inplace", False))
            bound.arguments.pop("inplace", None)
            return target, bound.args, bound.kwargs, inplace
        return target, args, kwargs, False


def _proxies(value: Any) -> list[fx.Proxy]:
    return [leaf for leaf in _leaves(value) if isinstance(leaf, fx.Proxy)]


def _leaves(value: Any) -> list[Any]:
    found: list[Any] = []
    map_aggregate(value, found.append)
    return found


def _same(first: Any, second: Any) -> bool:
    return type(first) is type(second) and not isinstance(first, Tensor) and bool(first == second)
