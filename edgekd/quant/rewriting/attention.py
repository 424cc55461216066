"""Attention, as matrix products and softmax."""

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from edgekd.quant.rewriting.rewrite import Rewrite


def _bmm(a: Any, b: Any) -> Any:
    return torch.matmul(a, b)


def _attention(
    q: Any,
    k: Any,
    v: Any,
    attn_mask: Any = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> Any:
    if is_causal or enable_gqa or getattr(attn_mask, "dtype", None) == torch.bool:
        return NotImplemented
    scores = torch.matmul(q * (q.shape[-1] ** -0.5 if scale is None else scale), k.transpose(-2, -1))
    scores = scores if attn_mask is None else scores + attn_mask
    return torch.matmul(F.softmax(scores, dim=-1), v)


def attend_with(layer: nn.MultiheadAttention) -> Rewrite:
    """Return what a module of torch computes, for attention without masks."""

    def attend(query: Any, key: Any, value: Any, *options: Any, **named: Any) -> Any:
        masked = options[0] if options else named.get("key_padding_mask")
        masked = masked is not None or named.get("attn_mask") is not None or len(options) > 2
        if masked or named.get("is_causal"):
            return NotImplemented
        if layer.bias_k is not None or layer.add_zero_attn or query.ndim != 3:
            return NotImplemented
        inputs = [x if layer.batch_first else x.transpose(0, 1) for x in (query, key, value)]
        q, k, v = (_heads(x, layer, part) for part, x in enumerate(inputs))
        scores = F.softmax(torch.matmul(q * layer.head_dim**-0.5, k.transpose(-2, -1)), dim=-1)
        mixed = torch.matmul(scores, v).transpose(1, 2).flatten(2)
        result = F.linear(mixed, layer.out_proj.weight, layer.out_proj.bias)
        return result if layer.batch_first else result.transpose(0, 1), scores.mean(1)

    return attend


def _heads(x: Any, layer: nn.MultiheadAttention, part: int) -> Any:
    """Project to query, key or value: (n, heads, tokens, features)."""
    rows = slice(part * layer.embed_dim, (part + 1) * layer.embed_dim)
    packed = layer.in_proj_weight
    own = (layer.q_proj_weight, layer.k_proj_weight, layer.v_proj_weight)[part]
    weight = own if packed is None else packed[rows]
    bias = None if layer.in_proj_bias is None else layer.in_proj_bias[rows]
    features = F.linear(x, weight, bias)
    return features.reshape(*x.shape[:2], layer.num_heads, layer.head_dim).transpose(1, 2)


def _einsum(equation: str, *operands: Any) -> Any:
    """Write a product of two tensors as one matrix product: (batch, own, summed) @ (batch, summed, own)."""
    operands = tuple(operands[0]) if isinstance(operands[0], tuple | list) else operands
    inputs, _, output = equation.replace(" ", "").partition("->")
    names = inputs.split(",")
    if len(names) != 2 or "." in equation or not output:
        return NotImplemented
    left, right = names
    if set(left) & set(right) & set(output) != {n for n in left if n in right and n in output}:
        return NotImplemented
    shared = [n for n in output if n in left and n in right]
    summed = [n for n in left if n in right and n not in output]
    rows, columns = ([n for n in output if n in side and n not in shared] for side in names)
    if sorted(left) != sorted(shared + rows + summed) or sorted(right) != sorted(shared + summed + columns):
        return NotImplemented
    size = {n: s for side, x in zip(names, operands, strict=True) for n, s in zip(side, x.shape, strict=True)}

    def flat(x: Any, side: str, *groups: list[str]) -> Any:
        moved = x.permute(*(side.index(n) for group in (shared, *groups) for n in group))
        return moved.reshape(*(size[n] for n in shared), *(math.prod(size[n] for n in g) for g in groups))

    product = torch.matmul(flat(operands[0], left, rows, summed), flat(operands[1], right, summed, columns))
    made = shared + rows + columns
    return product.reshape(*(size[n] for n in made)).permute(*(made.index(n) for n in output))


ATTENTION: dict[Any, Rewrite] = {
    torch.bmm: _bmm,
    "bmm": _bmm,
    F.scaled_dot_product_attention: _attention,
    torch.einsum: _einsum,
}
