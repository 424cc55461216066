import numpy as np
import pytest

from edgekd.verify.paired import compare_paired


def test_compare_paired_counts_the_samples_that_one_model_alone_gets_right():
    """Both right 2, engine alone 1, other alone 3, none 1: -2 of 7; p = 2 * (1 + 4) / 16."""
    engine = np.array([1, 1, 1, 0, 0, 0, 0], bool)
    other = np.array([1, 1, 0, 1, 1, 1, 0], bool)
    found = compare_paired(engine, other)
    assert (found.only_engine_right, found.only_other_right, found.n) == (1, 3, 7)
    assert (found.difference, found.p_value) == pytest.approx((-2 / 7, 0.625))
    assert found.ci95[0] < found.difference < found.ci95[1]
