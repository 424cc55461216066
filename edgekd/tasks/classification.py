"""What labels mean, in numpy: also boards without torch score outputs with it."""

from abc import ABC, abstractmethod
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from edgekd.core.spec_base import Spec
from edgekd.core.statistics import wilson_interval
from edgekd.data.dataset import Labels
from edgekd.errors import DataError
from edgekd.tasks.metric import Metric


class TaskSpec(Spec, ABC):
    """A task, as a pipeline file names it."""

    kind: str

    @property
    @abstractmethod
    def metric_name(self) -> str:
        """Name of the metric, as reports and gates write it."""

    @abstractmethod
    def measure(self, outputs: NDArray[np.floating], labels: Labels) -> float:
        """Return the metric of the outputs.

        Raises:
            DataError: If there are no samples.
        """

    @abstractmethod
    def score(self, outputs: NDArray[np.floating], labels: Labels) -> Metric:
        """Return the metric of the outputs with its interval, as reports say it.

        Raises:
            DataError: If there are no samples.
        """

    @abstractmethod
    def correct(self, outputs: NDArray[np.floating], labels: Labels) -> NDArray[np.bool_] | None:
        """Say for each sample whether its answer is right; None where there is no such thing."""

    @abstractmethod
    def agreement(self, outputs: NDArray[np.floating], others: NDArray[np.floating]) -> float | None:
        """Return the fraction of samples with the same answer, 0..1; None where there is no such thing."""

    def check_labels(self, labels: Labels) -> None:
        """Refuse labels that are not of this task.

        Raises:
            DataError: If they are not.
        """


class ClassificationSpec(TaskSpec):
    """One label of several classes per image, scored by top-1 accuracy.

    Attributes:
        label_smoothing: Share of the target spread evenly over all classes in training (Szegedy et al. 2016,
            arXiv:1512.00567, sec. 7).
    """

    kind: Literal["classification"] = "classification"
    label_smoothing: float = Field(default=0.0, ge=0, lt=1)

    @property
    def metric_name(self) -> str:
        """``top1``."""
        return "top1"

    def correct(self, outputs: NDArray[np.floating], labels: Labels) -> NDArray[np.bool_]:
        """Say for each sample whether its largest output is that of the label.

        Among equal outputs, which integer engines do produce, the lowest class index wins.

        Args:
            outputs: Logits or probabilities, shape (n, classes).
            labels: Class indices, shape (n,).

        Returns:
            Shape (n,).

        Example:
            >>> ClassificationSpec().correct(np.array([[0.1, 0.9], [0.5, 0.5]]), np.array([1, 1]))
            array([ True, False])
        """
        return np.asarray(outputs.argmax(axis=1) == labels)

    def measure(self, outputs: NDArray[np.floating], labels: Labels) -> float:
        """Return top-1, the fraction of samples that are `correct`, 0..1.

        Raises:
            DataError: If there are no samples.
        """
        if len(labels) == 0:
            what = "top1 of zero samples is not a number"
            raise DataError(what, fix="the split is empty: for validation set data.validation_samples")
        return float(self.correct(outputs, labels).mean())

    def score(self, outputs: NDArray[np.floating], labels: Labels) -> Metric:
        """Return top-1 with its Wilson interval.

        Raises:
            DataError: If there are no samples.
        """
        value, n = self.measure(outputs, labels), len(labels)
        interval = wilson_interval(round(value * n), n)
        return Metric(name=self.metric_name, value=value, ci95=interval, n=n)

    def agreement(self, outputs: NDArray[np.floating], others: NDArray[np.floating]) -> float:
        """Return the fraction of samples whose largest output is the same."""
        return float(np.mean(outputs.argmax(axis=1) == others.argmax(axis=1)))

    def check_labels(self, labels: Labels) -> None:
        """Refuse labels that are numbers to predict.

        Raises:
            DataError: If they are.
        """
        if labels.ndim != 1:
            what = f"labels are floats of shape {labels.shape}, not class indices"
            raise DataError(
                what, where="data", fix="set task.kind: python, with a loss and a metric of yours"
            )
