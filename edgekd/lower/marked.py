"""The student outside of torch: a marked graph, probes, and what torch said."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgekd.core.artifact import Artifact

MARKED, PROBES, TEST_LOGITS = "marked.onnx", "probes.npy", "test_logits.npy"


class MarkedOnnx(Artifact):
    """The contract between training and every runtime."""

    @property
    def marked_path(self) -> Path:
        """The float graph with one ``edgekd::FakeQuant`` mark per quantizer."""
        return self.path(MARKED)

    def probes(self) -> NDArray[np.uint8]:
        """Return the images (n, height, width, channels) that fidelity is measured on."""
        return np.asarray(np.load(self.path(PROBES), allow_pickle=False))

    def test_logits(self) -> NDArray[np.float32]:
        """Return the fake-quantized student's logits on the test split, from torch: (n, classes)."""
        return np.asarray(np.load(self.path(TEST_LOGITS), allow_pickle=False))
