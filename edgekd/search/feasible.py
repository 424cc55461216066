"""Before trials begin: can any network keep the limits, what is too small, and is the latency table right?"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from pydantic import ValidationError

from edgekd.core.progress import note
from edgekd.data.dataset import DataInfo
from edgekd.device.place import Place
from edgekd.errors import SpecError
from edgekd.search.latency_table import parts_of
from edgekd.search.limits import Excess
from edgekd.search.record import TableCheck, correction_of
from edgekd.search.search import Search
from edgekd.search.search_spec import SearchStudentSpec
from edgekd.search.space import Value
from edgekd.zoo.network import NetworkSpec

if TYPE_CHECKING:
    import optuna

CHECKS = "checks"
"""Attribute of a study: what its latencies are corrected by."""

ROOM = 1.05
"""What a limit is proposed to be, as a multiple of what was found: measurements differ by a few per cent."""

DRAWS = 10
"""For each network that is checked: settings that may turn out to mean one that was drawn before."""


def must_run(place: Place) -> None:
    """Say before anything is trained or timed if the device cannot run what is searched.

    Raises:
        SpecError: If so.
    """
    if place.not_run:
        what = f"a search measures students on the first target, which cannot run here: {place.not_run}"
        raise SpecError(what, where="targets.0", fix="put a target first that runs, or name its device")


def must_fit(student: SearchStudentSpec, info: DataInfo, *, multiple: int) -> None:
    """Say before anything is trained or timed if the smallest network has too many multiply-accumulates.

    Raises:
        SpecError: If so, with what would have to give.
    """
    most = student.limits.max_macs
    if most is None:
        return
    smallest = student.space.network_of(student.space.smallest(), multiple=multiple)
    macs = sum(part.macs() for part in parts_of(smallest, info))
    if macs > most:
        raise impossible(smallest, [Excess("max_macs", most, macs)], "the smallest network of the space")


def prepare(search: Search, study: "optuna.Study") -> tuple[Search, tuple[TableCheck, ...]]:
    """Return the search with the correction that predicted latencies need, and what that comes from.

    All workers of a study take the correction of the one that came first.

    Raises:
        SpecError: If no network keeps the limits, or somebody else wrote into the study.
    """
    must_be_possible(search)
    if CHECKS not in study.user_attrs:
        study.set_user_attr(CHECKS, [check.model_dump(mode="json") for check in check_table(search)])
    try:
        checks = tuple(TableCheck.model_validate(check) for check in study.user_attrs[CHECKS])
    except (TypeError, ValidationError) as e:
        what = f"what the study says of the latency table is none of a search's: {type(e).__name__}"
        raise SpecError(what, where="student.storage", fix="name a database that nobody else writes") from e
    corrected = replace(search, correction=correction_of(checks))
    must_be_possible(corrected)
    return corrected, checks


def must_be_possible(search: Search) -> None:
    """Say at once if a limit is below what the smallest, or the fastest, network of the space has.

    Raises:
        SpecError: If so, with what would have to give.
    """
    smallest = search.student.space.smallest()
    excesses = search.student.limits.excesses(search.predict(search.network(smallest)))
    if large := [excess for excess in excesses if not excess.is_time]:
        raise impossible(search.network(smallest), large, "the smallest network of the space")
    if not excesses:
        return
    network = search.network(_fastest_from(search, smallest))
    if slow := [one for one in search.student.limits.excesses(search.table.measure(network)) if one.is_time]:
        raise impossible(network, slow, "the fastest network of the space by the latency table")


def _fastest_from(search: Search, setting: dict[str, Value]) -> dict[str, Value]:
    """Change one knob after the other for as long as that makes the network no slower."""
    best = search.predict(search.network(setting)).p50_ms
    for name, values in search.student.space.knobs().items():
        for value in values[1:]:
            changed = {**setting, name: value}
            p50_ms = search.predict(search.network(changed)).p50_ms
            if p50_ms > best:
                break
            if p50_ms < best:  # narrow widths may be rounded to one network
                setting, best = changed, p50_ms
    return setting


def check_table(search: Search) -> tuple[TableCheck, ...]:
    """Compare predicted with measured latency of networks drawn at random; none where they are one."""
    if not search.predicts:
        return ()
    found = []
    for network in _drawn(search):
        predicted, measured = search.table.predict(network), search.table.measure(network)
        found.append(
            TableCheck(name=network.title, predicted_ms=predicted.p50_ms, measured_ms=measured.p50_ms)
        )
        note(
            f"latency table, network {len(found)} of {search.student.checked} as a whole: {network.title}: "
            f"predicted {predicted.p50_ms:.3g} ms, measured {measured.p50_ms:.3g} ms"
        )
    return tuple(found)


def _drawn(search: Search) -> Iterator[NetworkSpec]:
    """Return different networks of the space at random, as many as are checked if there are so many."""
    rng, seen = np.random.default_rng(search.teaching.seed), set[str]()
    for _ in range(DRAWS * search.student.checked):
        if len(seen) == search.student.checked:
            return
        network = search.network(search.student.space.draw(rng))
        if network.digest not in seen:
            seen.add(network.digest)
            yield network


def least_share(search: Search) -> float:
    """Return the share of some limit that a network has to use to be trained while there are such networks.

    0 where the fastest student is wanted, or costs are measured and not predicted.
    """
    student = search.student
    if student.wants_the_fastest or not search.predicts:
        return 0.0
    largest = search.predict(search.network(student.space.largest()))
    return student.least_use * min(1.0, student.limits.use(largest))


def impossible(network: NetworkSpec, excesses: Sequence[Excess], what_it_is: str) -> SpecError:
    """Return the error that no network keeps the limits."""
    first = excesses[0]
    over = " and ".join(f"{one.limit} is {one.allowed:,}, it has {one.text()}" for one in excesses)
    what = f"no student keeps the limits: {network.title}, {what_it_is}, does not ({over})"
    gives = ", ".join(f"{one.limit} to {one.text(ROOM)} or more" for one in excesses)
    other = ", or a faster device or runtime run it" if any(one.is_time for one in excesses) else ""
    fix = f"set {gives}; or let the space have smaller networks{other}"
    return SpecError(what, where=f"student.limits.{first.limit}", fix=fix)
