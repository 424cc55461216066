"""A task of the user's own: regression, several labels per image, or a metric that counts for them."""

from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from edgekd.core.user_code import UserFunction
from edgekd.data.dataset import Labels
from edgekd.errors import DataError
from edgekd.tasks.classification import TaskSpec
from edgekd.tasks.metric import Metric, bootstrap_interval


class PythonTaskSpec(TaskSpec):
    """Functions of yours: ``loss(outputs, labels)`` in torch, ``metric(outputs, labels)`` in numpy.

    The network has one output per name in the data's ``class_names``. There is no right or wrong answer to
    count: the interval of the metric comes from drawing test samples anew, and reports say nothing of
    agreement.

    Attributes:
        loss: Returns a scalar tensor for the outputs (n, outputs) and labels of a batch.
        metric: Returns a float for all outputs (n, outputs) and labels; reports show it by its name.
        better: Whether a higher or a lower metric is better.
    """

    kind: Literal["python"] = "python"
    loss: UserFunction
    metric: UserFunction
    better: Literal["higher", "lower"] = "higher"

    @property
    def metric_name(self) -> str:
        """Name of the function."""
        return self.metric.function

    def measure(self, outputs: NDArray[np.floating], labels: Labels) -> float:
        """Return what the function says of the outputs.

        Raises:
            DataError: If there are no samples, or it is no number.
            SpecError: If the function is not allowed to run, or fails.
        """
        value = self._call(outputs, labels)
        if not np.isfinite(value):
            what = f"{self.metric_name} of {len(labels)} samples is {value}"
            raise DataError(what, where=self.metric.file, fix="return a finite number")
        return value

    def score(self, outputs: NDArray[np.floating], labels: Labels) -> Metric:
        """Return the metric with its bootstrap interval."""
        value = self.measure(outputs, labels)
        interval = bootstrap_interval(lambda rows: self._call(outputs[rows], labels[rows]), len(labels))
        return Metric(
            name=self.metric_name,
            value=value,
            ci95=interval,
            n=len(labels),
            higher_is_better=self.better == "higher",
        )

    def correct(self, outputs: NDArray[np.floating], labels: Labels) -> None:
        """Return None: what a right answer is, only its user knows."""

    def agreement(self, outputs: NDArray[np.floating], others: NDArray[np.floating]) -> None:
        """Return None: what the same answer is, only its user knows."""

    def check_labels(self, labels: Labels) -> None:
        """Look both functions up, so that a wrong name is no surprise after training.

        Raises:
            SpecError: If a function is missing, or not allowed to run.
        """
        self.loss.load()
        self.metric.load()

    def _call(self, outputs: NDArray[np.floating], labels: Labels) -> float:
        if len(labels) == 0:
            what = f"{self.metric_name} of zero samples is not a number"
            raise DataError(what, fix="the split is empty: for validation set data.validation_fraction")
        found: Any = self.metric.call(outputs=outputs, labels=labels)
        if np.ndim(found) != 0:
            what = (
                f"{self.metric_name} returns {type(found).__name__} of shape {np.shape(found)}, not a number"
            )
            raise DataError(what, where=self.metric.file, fix="return one float")
        return float(found)
