"""What labels mean, in numpy: also boards without torch score outputs with it."""

from abc import ABC, abstractmethod
from typing import ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from edgekd.core.spec_base import Spec
from edgekd.data.dataset import Labels
from edgekd.errors import DataError


class TaskSpec(Spec, ABC):
    """A task, as a pipeline file names it.

    Attributes:
        metric_name: Name of the metric, as reports and gates write it.
    """

    kind: str
    metric_name: ClassVar[str]

    @abstractmethod
    def correct(self, outputs: NDArray[np.floating], labels: Labels) -> NDArray[np.bool_]:
        """Say for each sample whether its output is right, shape (n,)."""

    @abstractmethod
    def metric(self, outputs: NDArray[np.floating], labels: Labels) -> float:
        """Score the outputs, 0..1, higher is better.

        Raises:
            DataError: If there are no samples.
        """


class ClassificationSpec(TaskSpec):
    """One label of several classes per image, scored by top-1 accuracy.

    Attributes:
        label_smoothing: Share of the target spread evenly over all classes in training (Szegedy et al. 2016,
            arXiv:1512.00567, sec. 7).
    """

    kind: Literal["classification"] = "classification"
    metric_name: ClassVar[str] = "top1"
    label_smoothing: float = Field(default=0.0, ge=0, lt=1)

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

    def metric(self, outputs: NDArray[np.floating], labels: Labels) -> float:
        """Return top-1, the fraction of samples that are `correct`, 0..1.

        Raises:
            DataError: If there are no samples.
        """
        if len(labels) == 0:
            what = "top1 of zero samples is not a number"
            raise DataError(what, fix="the split is empty: for validation set data.validation_samples")
        return float(self.correct(outputs, labels).mean())
