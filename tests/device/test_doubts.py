import pytest

from edgekd.device.doubts import doubts

QUIET = {
    "at_s": 100.0,
    "busy_s": 1000.0,
    "used_s": 5.0,
    "stolen_s": 1.0,
    "governors": ["performance"],
    "throttled": 2,
}


@pytest.mark.parametrize(
    ("after", "said"),
    [
        ({}, ()),
        ({"busy_s": 1025.0, "used_s": 14.5}, ("other processes kept 1.6 cores busy meanwhile",)),
        ({"busy_s": 1010.0, "used_s": 14.5}, ()),  # half a second of others in ten
        ({"stolen_s": 1.5}, ("the hypervisor gave 5 % of a core to other machines",)),
        (
            {"governors": ["ondemand", "performance"]},
            ("clocks change: the frequency governor is ondemand, not performance",),
        ),
        ({"throttled": 5}, ("the CPU or this container was throttled 3 times meanwhile",)),
        ({"celsius": {"cpu": 91.0}}, ()),
    ],
    ids=["quiet", "busy", "a little busy", "stolen", "governor", "throttled", "warm"],
)
def test_doubts_tell_what_moved_the_numbers(after, said):
    assert doubts(QUIET, {**QUIET, "at_s": 110.0, **after}, saturates=False, isa=()) == said


def test_doubts_tell_of_cpus_whose_8_bit_products_are_slow():
    vnni, arm = doubts({}, {}, saturates=True, isa=("avx2",)), doubts({}, {}, saturates=False, isa=("asimd",))
    assert "has no VNNI" in vnni[0]
    assert "no dot product instruction" in arm[0]
    assert doubts({}, {}, saturates=False, isa=("asimd", "asimddp")) == ()
