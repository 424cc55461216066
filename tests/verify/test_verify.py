import numpy as np
import pytest

from edgekd.data.digits import DigitsSpec
from edgekd.data.image_folder import ImageFolderSpec
from edgekd.errors import BuildError, DataError
from edgekd.runtimes.onnx_runtime_target import OnnxRuntimeTarget
from edgekd.runtimes.random_inputs import random_input
from edgekd.verify.verify import model_file, sized_for, verify


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
        ("uint8[N,10,10,3]", (8, 10, 10, 3), np.uint8),
        ("float[2,3,H,8]", (2, 3, 64, 8), np.float32),
        ("float16[2,32,S]", (2, 32, 1), np.float16),
    ],
)
def test_random_inputs_fit_the_model(onnx_model, tmp_path, declared, shape, kind):
    model = onnx_model(f"{declared} x", "float y", "y = Cast<to=1>(x)", {})
    (tmp_path / "m.onnx").write_bytes(model.SerializeToString())
    (wanted,) = OnnxRuntimeTarget().open(tmp_path / "m.onnx").inputs
    found = random_input(wanted)
    assert (found.shape, found.dtype) == (shape, kind)
    assert len(np.unique(found)) > 20
    assert np.array_equal(found, random_input(wanted))


FLOAT_QDQ = """
    q = QuantizeLinear(image, scale, zero)
    x = DequantizeLinear(q, scale, zero)
    w = DequantizeLinear(codes, scale, signed)
    y = Conv(x, w)
    yq = QuantizeLinear(y, scale, zero)
    yd = DequantizeLinear(yq, scale, zero)
    pooled = GlobalAveragePool(yd)
    scores = Flatten(pooled)
"""


@pytest.fixture
def foreign(onnx_model, tmp_path):
    """A classifier by another tool: normalized float NCHW in; class 0 is dark, class 1 is bright."""
    codes = np.concatenate([np.full((1, 3, 1, 1), -40), np.full((1, 3, 1, 1), 40)]).astype(np.int8)
    constants = {"scale": np.float32(0.02), "zero": np.uint8(128), "signed": np.int8(0), "codes": codes}
    model = onnx_model("float[N,3,8,8] image", "float[N,2] scores", FLOAT_QDQ, constants)
    (tmp_path / "foreign.onnx").write_bytes(model.SerializeToString())
    return tmp_path / "foreign.onnx"


def test_verify_scores_a_foreign_float_model_on_raw_pixels(foreign):
    bright = np.arange(6) % 2
    images = np.broadcast_to((bright * 150 + 50)[:, None, None, None], (6, 8, 8, 3)).astype(np.uint8)
    labels = bright.astype(np.int64)
    labels[0] = 1
    found = verify(foreign, images, labels, mean=(0.5,) * 3, std=(0.25,) * 3)
    assert (found.top1, found.n) == (5 / 6, 6)
    assert found.faithfulness.oracle.nodes >= 1
    assert found.faithfulness.oracle.mismatches == 0
    found = verify(foreign, images, labels)
    assert found.top1 is None
    assert "the model takes float images" in found.not_scored


def test_verify_refuses_labels_of_more_classes_than_scores(foreign):
    images = np.zeros((3, 8, 8, 3), np.uint8)
    for labels, classes in ((np.array([0, 1, 2]), None), (np.array([0, 1, 1]), 3)):
        found = verify(foreign, images, labels, classes=classes, mean=(0.5,) * 3, std=(0.25,) * 3)
        assert (found.top1, found.n) == (None, 0)
        assert found.not_scored == "the model gives scores (1, 2): none is one score for each of 3 classes"


def test_verify_looks_into_a_detector_with_several_inputs_and_outputs(onnx_model, tmp_path):
    body = (
        FLOAT_QDQ
        + """
        boxes = MaxPool<kernel_shape = [2, 2]>(yd)
        sizes = Identity(original_size)
    """
    )
    codes = np.full((2, 3, 1, 1), 40, np.int8)
    constants = {"scale": np.float32(0.02), "zero": np.uint8(128), "signed": np.int8(0), "codes": codes}
    model = onnx_model(
        "float[N,3,H,W] image, int64[N,2] original_size",
        "float[N,2] scores, float boxes, int64[N,2] sizes",
        body,
        constants,
    )
    (tmp_path / "detector.onnx").write_bytes(model.SerializeToString())
    found = verify(tmp_path / "detector.onnx").faithfulness
    assert found.oracle.nodes >= 1
    assert found.oracle.mismatches == 0
    found = verify(tmp_path / "detector.onnx", np.zeros((2, 8, 8, 3), np.uint8))
    assert "not images alone" in found.not_scored
    assert not found.compares_nothing


def test_a_folder_stands_for_its_only_engine(residual, tmp_path):
    for name in ("model.onnxruntime.onnx", "report.json"):
        (tmp_path / name).write_bytes(residual.model.read_bytes())
    assert model_file(tmp_path) == tmp_path / "model.onnxruntime.onnx"
    assert verify(tmp_path).faithfulness.layers == ()
    for name in (
        "model.tensorrt.onnx",
        "model.tensorrt_rtx.onnx",
        "model.openvino.onnx",
        "model.openvino_2.onnx",
    ):
        (tmp_path / name).touch()
    assert model_file(tmp_path) == tmp_path / "model.onnxruntime.onnx"
    assert model_file(tmp_path, kind="tensorrt") == tmp_path / "model.tensorrt.onnx"
    with pytest.raises(
        BuildError, match=r"several engines for openvino: model.openvino.onnx, model.openvino_2"
    ):
        model_file(tmp_path, kind="openvino")
    with pytest.raises(BuildError, match=r"no engine for ncnn: model.onnxruntime.onnx, "):
        model_file(tmp_path, kind="ncnn")
    with pytest.raises(BuildError, match="no such file"):
        model_file(tmp_path / "none.onnx")


def test_data_without_a_size_get_that_of_the_model(foreign, residual, tmp_path):
    photos = ImageFolderSpec(path=str(tmp_path))
    for model, height, width in ((foreign, 8, 8), (residual.model, 10, 10), (residual.folder, 10, 10)):
        sized = sized_for(model, photos)
        assert (sized.height, sized.width, sized.color_order) == (height, width, "RGB")
    chosen = ImageFolderSpec(path=str(tmp_path), height=12, width=9)
    assert sized_for(foreign, chosen) is chosen
    assert sized_for(foreign, DigitsSpec()) == DigitsSpec()
