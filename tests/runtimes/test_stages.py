import shutil

import numpy as np
import onnx
import pytest

from edgekd.lower.marked import MARKED, MarkedOnnx
from edgekd.runtimes.onnx_runtime import open_session
from edgekd.runtimes.onnx_runtime_target import OnnxRuntimeTarget
from edgekd.runtimes.stages import TargetOnnx, lower_for


@pytest.fixture
def lowered(residual, tmp_path):
    """Return a function that lowers the marked graph of a small network for a target."""

    def lower(**options):
        folder = tmp_path / "marked"
        folder.mkdir()
        shutil.copyfile(residual.marked, folder / MARKED)
        (tmp_path / "lowered").mkdir()
        marked = MarkedOnnx(folder, "", "")
        lower_for.function(
            tmp_path / "lowered", OnnxRuntimeTarget(**options), marked, {"classes": "a b"}, "1.32.0"
        )
        return TargetOnnx(tmp_path / "lowered", "", "")

    return lower


def test_lower_for_writes_the_model_with_its_metadata(lowered, residual):
    stored = onnx.load(lowered().model_path)
    assert {item.key: item.value for item in stored.metadata_props} == {"classes": "a b"}
    assert stored.graph == residual.lowered.graph


def test_lower_for_counts_the_payload(lowered):
    """Codes: 8 * 3 * 9, 8 * 8 * 9 and 5 * 8; 12 bytes for each of 8, 8 and 5 channels."""
    layers = lowered().layers()
    assert [layer.name for layer in layers] == ["stem", "left", "linear"]
    assert [layer.size_bytes for layer in layers] == [216 + 96, 576 + 96, 40 + 60]


def test_lower_for_fixes_the_batch(lowered, residual):
    session = open_session(lowered(batch=2).model_path)
    assert session.get_inputs()[0].shape == [2, 10, 10, 3]
    assert session.get_outputs()[0].shape == [2, 5]
    images = residual.inputs[:2]
    expected = open_session(residual.model).run(None, {"image": images})[0]
    assert np.array_equal(session.run(None, {"image": images})[0], expected)
