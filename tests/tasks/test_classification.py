import numpy as np
import pytest
from pydantic import ValidationError

from edgekd.errors import DataError
from edgekd.tasks.classification import ClassificationSpec

OUTPUTS = np.array([[1.0, 2.0, 0.0], [3.0, 1.0, 1.0], [0.0, 1.0, 2.0], [-1.0, -2.0, -3.0]], np.float32)


def test_metric_is_the_fraction_of_correct_samples():
    labels = np.array([1, 0, 0, 0])
    assert ClassificationSpec().correct(OUTPUTS, labels).tolist() == [True, True, False, True]
    assert ClassificationSpec().measure(OUTPUTS, labels) == 0.75
    assert ClassificationSpec().metric_name == "top1"


def test_correct_prefers_the_lowest_class_when_outputs_are_equal():
    outputs = np.array([[7, 7, 0]], np.int8).astype(np.float32)
    assert ClassificationSpec().correct(outputs, np.array([0])).tolist() == [True]
    assert ClassificationSpec().correct(outputs, np.array([1])).tolist() == [False]


def test_metric_refuses_zero_samples():
    with pytest.raises(DataError, match="zero samples"):
        ClassificationSpec().measure(np.empty((0, 3)), np.empty(0, np.int64))


@pytest.mark.parametrize("label_smoothing", [-0.1, 1.0])
def test_spec_refuses_a_label_smoothing_outside_its_range(label_smoothing):
    with pytest.raises(ValidationError):
        ClassificationSpec(label_smoothing=label_smoothing)


def test_score_has_wilsons_interval():
    found = ClassificationSpec().score(OUTPUTS, np.array([1, 0, 0, 0]))
    assert (found.name, found.value, found.n) == ("top1", 0.75, 4)
    assert found.ci95 == pytest.approx((0.3006, 0.9544), abs=1e-4)  # Wilson's interval of 3 out of 4


def test_agreement_is_the_fraction_of_the_same_answers():
    others = OUTPUTS.copy()
    others[0] = [9, 0, 0]
    assert ClassificationSpec().agreement(OUTPUTS, others) == 0.75


def test_numbers_to_predict_are_refused():
    with pytest.raises(DataError, match="not class indices"):
        ClassificationSpec().check_labels(np.zeros((4, 2), np.float32))
