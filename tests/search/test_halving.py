from edgekd.search.halving import beats, goes_on


def test_the_best_of_a_rung_always_goes_on() -> None:
    assert goes_on((0.5,), [], keep=3)
    assert goes_on((0.9,), [(0.8,), (0.7,)], keep=3)
    assert not goes_on((0.8,), [(0.9,), (0.7,)], keep=3)


def test_one_of_keep_goes_on() -> None:
    """Of nine with keep 3 the three best: two others may be better."""
    peers = [(value / 10,) for value in range(1, 9)]  # 0.1 .. 0.8
    assert goes_on((0.65,), peers, keep=3)  # 0.7 and 0.8 are better
    assert not goes_on((0.55,), peers, keep=3)  # 0.6 too


def test_a_trial_that_nothing_beats_in_both_goes_on() -> None:
    """Accuracy and speed: the slow accurate one and the fast rough one both are the best at something."""
    peers = [(0.9, -3.0), (0.5, -1.0)]
    assert goes_on((0.7, -2.0), peers, keep=3)
    assert not goes_on((0.8, -3.5), peers, keep=3)


def test_equals_do_not_beat_each_other() -> None:
    assert not beats((0.8, -1.0), (0.8, -1.0))
    assert beats((0.8, -1.0), (0.8, -2.0))
