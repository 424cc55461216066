"""Functions of single numbers, as sums, products, ReLUs and sigmoids."""

import operator
from typing import Any

import torch
import torch.nn.functional as F
from torch import fx

from edgekd.quant.rewriting.rewrite import Rewrite, is_batch_size, is_number


def _hard_sigmoid(x: Any) -> Any:
    return F.relu6(x + 3.0) * (1.0 / 6.0)


def _hard_swish(x: Any) -> Any:
    return x * (F.relu6(x + 3.0) * (1.0 / 6.0))


def _silu(x: Any) -> Any:
    return x * F.sigmoid(x)


def _tanh(x: Any) -> Any:
    return F.sigmoid(x * 2.0) * 2.0 + -1.0


def _glu(x: Any, dim: int = -1) -> Any:
    value, gate = torch.chunk(x, 2, dim=dim)
    return value * F.sigmoid(gate)


def _prelu(x: Any, weight: Any) -> Any:
    slope = x.tracer.weights(weight)
    if slope is None:
        return NotImplemented
    return F.relu(x) + F.relu(x * -1.0) * (weight * -1.0).reshape(-1, *[1] * (x.ndim - 2))


def _abs(x: Any) -> Any:
    return F.relu(x) + F.relu(x * -1.0)


def _neg(x: Any) -> Any:
    return NotImplemented if is_batch_size(x) else x * -1.0


def _add(a: Any, b: Any, *, alpha: float = 1) -> Any:
    if alpha == 1:
        return NotImplemented
    return a + (alpha * b if is_number(b) else b * alpha)


def _sub(a: Any, b: Any, *, alpha: float = 1) -> Any:
    if is_batch_size(a) or is_batch_size(b):
        return NotImplemented
    return torch.add(a, b, alpha=-1.0 * alpha)


def _rsub(a: Any, b: Any) -> Any:
    return b + a * -1.0


def _div(a: Any, b: Any, *, rounding_mode: str | None = None) -> Any:
    if rounding_mode is not None or is_batch_size(a) or is_batch_size(b):
        return NotImplemented
    if is_number(b):
        return a * (1.0 / b)
    known: Any = a
    divisor = known.tracer.weights(b) if isinstance(a, fx.Proxy) else None
    return NotImplemented if divisor is None else a * (1.0 / divisor)


def _addcmul(x: Any, a: Any, b: Any, *, value: float = 1) -> Any:
    return x + (a * b if value == 1 else a * b * value)


def _square(x: Any) -> Any:
    return x * x


def _pow(x: Any, exponent: Any) -> Any:
    return x * x if is_number(exponent) and exponent == 2 else NotImplemented


def _maximum(a: Any, b: Any) -> Any:
    return b + F.relu(a + b * -1.0)


def _minimum(a: Any, b: Any) -> Any:
    return b + F.relu(b + a * -1.0) * -1.0


def _hardtanh(x: Any, min_val: float = -1.0, max_val: float = 1.0) -> Any:
    return _clamp(x, min_val, max_val)


def _clamp(x: Any, min: Any = None, max: Any = None) -> Any:
    if not all(bound is None or is_number(bound) for bound in (min, max)):
        return NotImplemented
    if min is None:
        return F.relu(x * -1.0 + float(max)) * -1.0 + float(max)
    if min != 0:
        above = _clamp(x + -float(min), 0, None if max is None else max - min)
        return above + float(min)
    if max is None:
        return F.relu(x)
    return F.relu6(x) if max == 6 else F.relu6(x * (6.0 / max)) * (max / 6.0)


def _clamp_max(x: Any, max: Any) -> Any:
    return _clamp(x, None, max)


def _same(x: Any, *_: Any, **__: Any) -> Any:
    return x


def _to(x: Any, *args: Any, **kwargs: Any) -> Any:
    before = x._values[0]
    kinds = [arg.dtype if hasattr(arg, "dtype") else arg for arg in (*args, *kwargs.values())]
    dtypes = [kind for kind in kinds if isinstance(kind, torch.dtype)]
    return x if before.dtype == torch.float32 and set(dtypes) <= {torch.float32} else NotImplemented


ELEMENTWISE: dict[Any, Rewrite] = {
    F.hardsigmoid: _hard_sigmoid,
    F.hardswish: _hard_swish,
    F.silu: _silu,
    torch.tanh: _tanh,
    F.tanh: _tanh,
    "tanh": _tanh,
    F.glu: _glu,
    F.prelu: _prelu,
    torch.prelu: _prelu,
    torch.abs: _abs,
    "abs": _abs,
    torch.neg: _neg,
    operator.neg: _neg,
    "neg": _neg,
    torch.add: _add,
    "add": _add,
    torch.sub: _sub,
    operator.sub: _sub,
    "sub": _sub,
    torch.rsub: _rsub,
    torch.div: _div,
    operator.truediv: _div,
    "div": _div,
    "true_divide": _div,
    torch.addcmul: _addcmul,
    "addcmul": _addcmul,
    torch.square: _square,
    "square": _square,
    torch.pow: _pow,
    operator.pow: _pow,
    "pow": _pow,
    torch.maximum: _maximum,
    "maximum": _maximum,
    torch.minimum: _minimum,
    "minimum": _minimum,
    F.hardtanh: _hardtanh,
    torch.clamp: _clamp,
    torch.clip: _clamp,
    "clamp": _clamp,
    "clip": _clamp,
    torch.clamp_min: _clamp,
    "clamp_min": _clamp,
    torch.clamp_max: _clamp_max,
    "clamp_max": _clamp_max,
    "contiguous": _same,
    "clone": _same,
    "detach": _same,
    torch.clone: _same,
    torch.detach: _same,
    "to": _to,
    "float": _to,
    "type": _to,
    "type_as": _to,
}
