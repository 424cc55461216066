"""Which images of the test split an engine answers right, and how a row keeps them: one bit an image."""

import base64
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgekd.report.schema import Report
from edgekd.spec import load_pipeline

Right = NDArray[np.bool_]
"""Whether an answer is right, (..., images)."""


def right_answers(folder: Path, *, target: int = 0) -> Right | None:
    """Return what an engine of a run answers right; None if its task knows no right answer."""
    spec = load_pipeline(folder / "spec.resolved.yaml")
    test = spec.data.split("test")
    engine = folder / Report.load(folder / "report.json").targets[target].model_path
    with spec.targets[target].open(engine) as session:
        return spec.task.correct(session.predict(test.images), test.labels)


def kept_answers(row: dict[str, Any], metric: str) -> Right:
    """Return what a row keeps under ``right``, after checking that it has the accuracy of ``metric``."""
    accuracy = row["metric"][metric]
    right = unpacked(row["right"], accuracy["n"])
    assert abs(right.mean() - accuracy["value"]) < 1e-9, f"{row['pipeline']}: answers of another engine"
    return right


def packed(right: Right | None) -> str | None:
    """Return the bits as text, the first image in the highest bit of the first byte; None if there are none.

    Example:
        >>> packed(np.array([True, False, True, False, False, False, False, False]))  # 0xa0
        'oA=='
    """
    return None if right is None else base64.b64encode(np.packbits(right).tobytes()).decode("ascii")


def unpacked(text: str, n: int) -> Right:
    """Return the bits of ``n`` images.

    Example:
        >>> unpacked("oA==", 3).tolist()
        [True, False, True]
    """
    codes = np.frombuffer(base64.b64decode(text, validate=True), np.uint8)
    assert len(codes) == -(-n // 8), f"{len(codes)} bytes are not those of {n} images"
    return np.unpackbits(codes, count=n).astype(np.bool_)
