"""Settings that are drawn from those that are wanted, with a table whose latency is a formula."""

from dataclasses import dataclass
from typing import Any

import pytest

from edgekd.core.schedule import Schedule
from edgekd.quant.lsq import LsqSpec
from edgekd.quant.student import QuantizeSpec
from edgekd.search.draws import MOST_LOOKED_AT, draw
from edgekd.search.feasible import least_share
from edgekd.search.limits import Cost, Limits
from edgekd.search.resnet_space import ResNetSpace
from edgekd.search.search import Search
from edgekd.search.search_spec import SearchStudentSpec
from edgekd.zoo.resnet import ResNetSpec

SMALL = ResNetSpace(blocks=(1, 2), widths=(1.0,))
LARGE = ResNetSpace()


@dataclass
class BlocksAreMilliseconds:
    """A latency table on which a network takes as many milliseconds as it has blocks."""

    sums: bool = True

    def predict(self, network: ResNetSpec) -> Cost:
        blocks = sum(stage.blocks for stage in network.stages)
        return Cost(p50_ms=blocks, p90_ms=None, size_bytes=1, macs=1)

    def adds_up(self, network: ResNetSpec) -> bool:
        return self.sums


class Bits:
    quantize = QuantizeSpec(weights=LsqSpec(), activations=LsqSpec())


def searching(space: ResNetSpace, *, sums: bool = True, **limits: float) -> Search:
    training = Schedule(epochs=3, learning_rate=0.1)
    student = SearchStudentSpec(space=space, limits=Limits.model_validate(limits), training=training)
    teaching: Any = Bits()
    table: Any = BlocksAreMilliseconds(sums)
    return Search(student, teaching, table, run=None)  # type: ignore[arg-type]


def blocks(setting: Any) -> int:
    return sum(int(value) for name, value in setting.items() if name.startswith("blocks"))


def test_every_wanted_setting_of_a_small_space_is_drawn_once() -> None:
    """Of 2^3 settings one has 6 blocks, three have 5, three 4 and one 3: 5 ms and at least 4 leave six."""
    search, tried, found = searching(SMALL, max_p50_ms=5), set(), []
    while setting := draw(search, tried, least=0.8, seed=0):
        tried.add(search.network(setting).digest)
        found.append(blocks(setting))
    assert sorted(found) == [4, 4, 4, 5, 5, 5]


@pytest.mark.parametrize("seed", range(5))
def test_settings_of_a_large_space_are_wanted_and_follow_from_the_seed(seed: int) -> None:
    search = searching(LARGE, max_p50_ms=7)
    setting = draw(search, set(), least=0.8, seed=seed)
    assert setting is not None
    assert 0.8 * 7 <= blocks(setting) <= 7
    assert setting == draw(search, set(), least=0.8, seed=seed)


def test_no_more_than_so_many_settings_are_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    looked = []
    predict = BlocksAreMilliseconds.predict
    monkeypatch.setattr(
        BlocksAreMilliseconds, "predict", lambda self, network: looked.append(1) or predict(self, network)
    )
    assert draw(searching(LARGE, max_p50_ms=2), set(), least=0.0, seed=0) is None
    assert len(looked) == MOST_LOOKED_AT


def test_networks_that_are_measured_as_a_whole_are_not_looked_at() -> None:
    search = searching(LARGE, sums=False, max_p50_ms=100)
    assert draw(search, set(), least=0.0, seed=0) is None
    assert least_share(search) == 0


def test_the_least_share_is_of_what_the_largest_network_uses() -> None:
    """The largest has 6 blocks: of 12 ms half, of which 0.8 is 0.4; of 5 ms all and more, 0.8."""
    assert least_share(searching(SMALL, max_p50_ms=12)) == pytest.approx(0.4)
    assert least_share(searching(SMALL, max_p50_ms=5)) == pytest.approx(0.8)
    assert least_share(searching(SMALL, max_p50_ms=5, min_metric=0.9)) == 0
