"""Networks between a large one and a small one of the same family, in equal ratios of their parameters."""

import math
from functools import lru_cache
from typing import Protocol

import torch

from edgekd.data.dataset import DataInfo
from edgekd.zoo.cost import count_params
from edgekd.zoo.network import NetworkSpec, build_body


class Titled(Protocol):
    """Anything that may stand where a network does."""

    @property
    def title(self) -> str:
        """Name for people."""


def sizes_between(large: Titled, small: NetworkSpec, *, least: int = 0) -> tuple[NetworkSpec, ...]:
    """Return the networks between two of one family, from large to small.

    Args:
        large: The larger end, which is not among them.
        small: The smaller end, from which sizes are counted in steps; not among them either.
        least: How many there have to be.

    Raises:
        ValueError: If they are no family whose size is one field, ``large`` is not the larger, or there are
            fewer of them.

    Example:
        >>> from edgekd.zoo.resnet_cifar import ResNetCifarSpec
        >>> [n.title for n in sizes_between(ResNetCifarSpec(depth=32), ResNetCifarSpec(depth=8))]
        ['resnet26', 'resnet20', 'resnet14']
    """
    field, step = small.size_field, small.size_step
    if not field or not isinstance(large, type(small)):
        msg = f"{large.title} and {small.title} are not one family of networks whose size is one field"
        raise ValueError(msg)
    if (other := large.model_copy(update={field: getattr(small, field)})) != small:
        msg = f"{large.title} and {small.title} differ in more than {field} ({_differences(other, small)})"
        raise ValueError(msg)
    low, high = getattr(small, field), getattr(large, field)
    if low >= high:
        msg = f"{large.title} is not larger than {small.title}"
        raise ValueError(msg)
    steps = math.ceil((high - low) / step - 1e-6)  # 0.05 is no binary number
    if steps - 1 < least:
        msg = f"there are {steps - 1} sizes between {large.title} and {small.title}, not {least}"
        raise ValueError(msg)
    sizes = (low + step * index for index in range(steps - 1, 0, -1))
    return tuple(small.model_copy(update={field: type(low)(round(size, 6))}) for size in sizes)


def equal_ratios(
    large: NetworkSpec, small: NetworkSpec, count: int, info: DataInfo
) -> tuple[NetworkSpec, ...]:
    """Return networks whose parameters form a geometric series between two ends, as near as sizes allow.

    Args:
        large: As of `sizes_between`.
        small: As of `sizes_between`.
        count: How many; all of another size.
        info: Images and classes.

    Returns:
        From large to small; the i-th, with P parameters at the ends, has about
        ``P_large * (P_small / P_large) ** (i / (count + 1))`` of them.

    Raises:
        ValueError: As `sizes_between`.
    """
    sizes = sizes_between(large, small, least=count)
    params = {network.title: _params(network, info) for network in (large, *sizes, small)}
    first, ratio = params[large.title], params[small.title] / params[large.title]
    chosen: list[NetworkSpec] = []
    left = list(sizes)
    for index in range(1, count + 1):
        wanted = first * ratio ** (index / (count + 1))
        able = left[: len(left) - (count - index)]  # the others need a size, too
        distances = [abs(math.log(params[network.title] / wanted)) for network in able]
        place = distances.index(min(distances))
        chosen.append(left[place])
        left = left[place + 1 :]
    return tuple(chosen)


@lru_cache(maxsize=1000)
def _params(network: NetworkSpec, info: DataInfo) -> int:
    with torch.device("meta"):  # shapes alone: neither memory nor random numbers
        return count_params(build_body(network, info))


def _differences(network: NetworkSpec, other: NetworkSpec) -> str:
    return ", ".join(
        f"{name} {getattr(network, name)} and {getattr(other, name)}"
        for name in type(network).model_fields
        if getattr(network, name) != getattr(other, name)
    )
