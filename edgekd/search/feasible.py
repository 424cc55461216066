"""Before trials begin: can any network keep the limits, what is too small, and is the latency table right?"""

from collections.abc import Sequence

import numpy as np

from edgekd.core.progress import note
from edgekd.errors import SpecError
from edgekd.search.limits import Excess
from edgekd.search.record import TableCheck
from edgekd.search.search import Search
from edgekd.search.space import Value
from edgekd.zoo.network import NetworkSpec

ROOM = 1.05
"""What a limit is proposed to be, as a multiple of what was found: measurements differ by a few per cent."""


def must_be_possible(search: Search) -> None:
    """Say at once if a limit is below what the smallest, or the fastest, network of the space has.

    Raises:
        SpecError: If so, with what would have to give.
    """
    smallest = search.student.space.smallest()
    excesses = search.student.limits.excesses(search.table.predict(search.network(smallest)))
    if large := [excess for excess in excesses if not excess.is_time]:
        raise impossible(search.network(smallest), large, "the smallest network of the space")
    if not excesses:
        return
    network = search.network(_fastest_from(search, smallest))
    if slow := [one for one in search.student.limits.excesses(search.table.measure(network)) if one.is_time]:
        raise impossible(network, slow, "the fastest network of the space")


def _fastest_from(search: Search, setting: dict[str, Value]) -> dict[str, Value]:
    """Change one knob after the other for as long as that makes the network faster."""
    best = search.table.predict(search.network(setting)).p50_ms
    for name, values in search.student.space.knobs().items():
        for value in values[1:]:
            changed = {**setting, name: value}
            p50_ms = search.table.predict(search.network(changed)).p50_ms
            if p50_ms >= best:
                break
            setting, best = changed, p50_ms
    return setting


def check_table(search: Search) -> tuple[TableCheck, ...]:
    """Compare predicted with measured latency of networks drawn at random; none where they are one."""
    if not search.predicts:
        return ()
    rng, found = np.random.default_rng(search.teaching.seed), []
    for index in range(search.student.checked):
        network = search.network(search.student.space.draw(rng))
        predicted, measured = search.table.predict(network), search.table.measure(network)
        found.append(
            TableCheck(name=network.title, predicted_ms=predicted.p50_ms, measured_ms=measured.p50_ms)
        )
        note(
            f"latency table {index + 1}/{search.student.checked}: {network.title}: predicted "
            f"{predicted.p50_ms:.3g} ms, measured {measured.p50_ms:.3g} ms"
        )
    return tuple(found)


def least_share(search: Search) -> float:
    """Return the share of some limit that a network has to use to be trained while there are such networks.

    0 where the fastest student is wanted, or costs are measured and not predicted.
    """
    student = search.student
    if student.wants_the_fastest or not search.predicts:
        return 0.0
    largest = search.table.predict(search.network(student.space.largest()))
    return student.least_use * min(1.0, student.limits.use(largest))


def impossible(network: NetworkSpec, excesses: Sequence[Excess], what_it_is: str) -> SpecError:
    """Return the error that no network keeps the limits."""
    first = excesses[0]
    over = " and ".join(f"{one.limit} is {one.allowed:,g}, it has {one.text()}" for one in excesses)
    what = f"no student keeps the limits: {network.title}, {what_it_is}, does not ({over})"
    gives = ", ".join(f"{one.limit} to {one.text(ROOM)} or more" for one in excesses)
    fix = f"set {gives}; or let the space have smaller networks, or a faster device or runtime run it"
    return SpecError(what, where=f"student.limits.{first.limit}", fix=fix)
