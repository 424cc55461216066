"""What is found out before trials begin, with a table whose latency is a formula."""

from dataclasses import dataclass, field
from typing import Any

import optuna
import pytest

from edgekd.core.schedule import Schedule
from edgekd.errors import SpecError
from edgekd.quant.lsq import LsqSpec
from edgekd.quant.student import QuantizeSpec
from edgekd.search.feasible import prepare
from edgekd.search.limits import Cost, Limits
from edgekd.search.resnet_space import ResNetSpace
from edgekd.search.search import Search
from edgekd.search.search_spec import SearchStudentSpec
from edgekd.zoo.resnet import ResNetSpec


def first_width(network: ResNetSpec) -> int:
    return network.stages[0].channels


@dataclass
class TwiceTooSlow:
    """A latency table that says of every network twice what it takes; 16 channels are faster than 8.

    8 channels take 2 ms and are said to take 4, 16 take 1 and 2, 32 take 3 and 6.
    """

    factor: float = 0.5
    measured: list[str] = field(default_factory=list)

    def predict(self, network: ResNetSpec) -> Cost:
        p50_ms = {8: 4.0, 16: 2.0, 32: 6.0}[first_width(network)]
        return Cost(p50_ms=p50_ms, p90_ms=None, size_bytes=1, macs=1)

    def measure(self, network: ResNetSpec) -> Cost:
        self.measured.append(network.digest)
        return self.predict(network).model_copy(update={"p50_ms": self.predict(network).p50_ms * self.factor})

    def adds_up(self, network: ResNetSpec) -> bool:
        return True


class Teaching:
    quantize = QuantizeSpec(weights=LsqSpec(), activations=LsqSpec())
    seed = 0


def study() -> optuna.Study:
    return optuna.create_study()


def searching(table: Any, *, checked: int = 5, **limits: float) -> Search:
    """Search for the width of the first stage: 0.25 and 0.5 of 16 both become 8 channels."""
    student = SearchStudentSpec(
        space=ResNetSpace(blocks=(1,), widths=(0.25, 0.5, 1.0, 2.0)),
        limits=Limits.model_validate(limits),
        training=Schedule(epochs=3, learning_rate=0.1),
        checked=checked,
    )
    teaching: Any = Teaching()
    return Search(student, teaching, table, run=None)  # type: ignore[arg-type]


def test_predictions_are_corrected_by_what_was_measured() -> None:
    search, checks = prepare(searching(TwiceTooSlow(), max_p50_ms=10), study())
    assert search.correction == 0.5
    assert [check.error for check in checks] == [1.0] * 5
    network = search.network(search.student.space.smallest())
    assert search.predict(network).p50_ms == 2  # 4 ms of the table, halved


def test_no_network_is_checked_twice() -> None:
    """Four widths of three stages are 64 settings, but 27 networks: the two narrowest are one."""
    table = TwiceTooSlow()
    prepare(searching(table, max_p50_ms=10, checked=20), study())
    assert len(set(table.measured)) == len(table.measured) == 20


def test_a_study_has_one_correction_whoever_joins_it() -> None:
    shared = study()
    first, checks = prepare(searching(TwiceTooSlow(), max_p50_ms=10), shared)
    table = TwiceTooSlow()
    second, same = prepare(searching(table, max_p50_ms=10, checked=0), shared)
    assert (second.correction, same) == (first.correction, checks)
    assert not table.measured


def test_what_others_wrote_into_a_study_is_refused() -> None:
    strange = study()
    strange.set_user_attr("checks", [1])
    with pytest.raises(SpecError, match="none of a search's"):
        prepare(searching(TwiceTooSlow(), max_p50_ms=10), strange)


def test_limits_are_held_against_corrected_predictions() -> None:
    """By the table 16 channels keep 2 ms; they take twice that, and are the fastest."""
    with pytest.raises(SpecError, match=r"max_p50_ms is 2\.5, it has 4\)"):
        prepare(searching(TwiceTooSlow(factor=2.0), max_p50_ms=2.5), study())


def test_the_fastest_network_is_looked_for_behind_settings_that_mean_the_same() -> None:
    """The smallest and the next are one network of 2 ms; the one after takes 1 ms."""
    prepare(searching(TwiceTooSlow(), max_p50_ms=1.5), study())
    with pytest.raises(SpecError, match=r"resnet 1x16 .*max_p50_ms is 0\.9, it has 1\)") as caught:
        prepare(searching(TwiceTooSlow(), max_p50_ms=0.9), study())
    assert caught.value.fix.startswith("set max_p50_ms to 1.05 or more")
