import numpy as np
import pytest

from edgekd.errors import BuildError, DataError
from edgekd.runtimes.onnx_runtime_target import OnnxRuntimeTarget
from edgekd.verify.verify import RANDOM_PROBES, random_inputs, verify


def test_verify_checks_a_folder_layer_by_layer(residual):
    found = verify(residual.folder)
    assert found.faithfulness == residual.faithfulness
    assert (found.top1, found.n) == (None, 0)


def test_verify_scores_images(residual):
    labels = OnnxRuntimeTarget().open(residual.model).predict(residual.inputs).argmax(1)
    labels[:2] = (labels[:2] + 1) % 5
    found = verify(residual.folder, residual.inputs, labels)
    assert (found.top1, found.n) == (6 / 8, 8)


def test_verify_checks_a_bare_file_without_layers(residual):
    found = verify(residual.model)
    assert found.faithfulness.layers == ()
    assert found.faithfulness.oracle.mismatches == 0
    assert found.faithfulness.oracle.nodes == residual.faithfulness.oracle.nodes
    assert found.faithfulness.coverage == residual.faithfulness.coverage


def test_verify_says_why_a_float_file_is_float(onnx_model, tmp_path):
    model = onnx_model(
        "float[N,3,8,8] x", "float[N,4,8,8] y", "y = Conv(x, w)", {"w": np.ones((4, 3, 1, 1), np.float32)}
    )
    (tmp_path / "float.onnx").write_bytes(model.SerializeToString())
    found = verify(tmp_path / "float.onnx").faithfulness
    assert found.coverage.integer_ops == 0
    assert "Conv" in {fallback.op for fallback in found.coverage.fallbacks}
    assert found.oracle.nodes == 0


@pytest.mark.parametrize("labels", [[], [0, 1, 2]])
def test_verify_refuses_labels_that_do_not_belong_to_the_images(residual, labels):
    with pytest.raises(DataError, match=f"8 images and {len(labels)} labels"):
        verify(residual.folder, residual.inputs, np.int64(labels))


def test_verify_refuses_what_is_no_model(tmp_path):
    (tmp_path / "model.onnx").write_bytes(b"not a model")
    with pytest.raises(BuildError):
        verify(tmp_path / "model.onnx")


@pytest.mark.parametrize(
    ("declared", "shape", "kind"),
    [
        ("uint8[N,10,10,3]", (RANDOM_PROBES, 10, 10, 3), np.uint8),
        ("float[2,3,H,8]", (2, 3, 1, 8), np.float32),
    ],
)
def test_random_inputs_fit_the_model(onnx_model, tmp_path, declared, shape, kind):
    model = onnx_model(f"{declared} x", "float y", "y = Cast<to=1>(x)", {})
    (tmp_path / "m.onnx").write_bytes(model.SerializeToString())
    (wanted,) = OnnxRuntimeTarget().open(tmp_path / "m.onnx").inputs
    found = random_inputs(wanted)
    assert (found.shape, found.dtype) == (shape, kind)
    assert len(np.unique(found)) > 20
    assert np.array_equal(found, random_inputs(wanted))
