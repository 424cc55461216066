import numpy as np
import pytest

from edgekd.errors import DataError
from edgekd.runtimes.session import TensorInfo
from edgekd.verify.preprocess import Preprocess

PIXELS = np.random.default_rng(0).integers(0, 256, (5, 4, 6, 3), dtype=np.uint8)
STATISTICS = {"mean": (0.5, 0.4, 0.3), "std": (0.25, 0.2, 0.1)}


def fitting(dtype, shape, images=PIXELS, *, mean=(), std=()):
    wanted = TensorInfo("image", np.dtype(dtype), shape)
    return Preprocess.fitting(wanted, images, mean=mean, std=std, where="m.onnx")


def test_normalization_is_that_of_fractions_of_255():
    first = fitting("float32", (None, 3, 4, 6), **STATISTICS)(PIXELS)
    assert (first.shape, first.dtype) == ((5, 3, 4, 6), np.float32)
    # channel 1, pixel p: (p / 255 - 0.4) / 0.2
    assert first[2, 1, 3, 5] == pytest.approx((PIXELS[2, 3, 5, 1] / 255 - 0.4) / 0.2, rel=1e-5)
    last = fitting("float32", (1, 4, 6, 3), **STATISTICS)(PIXELS)
    np.testing.assert_array_equal(first.transpose(0, 2, 3, 1), last)


def test_pixels_that_fit_stay_and_others_are_turned():
    assert fitting("uint8", (None, 4, 6, 3))(PIXELS) is PIXELS
    np.testing.assert_array_equal(
        fitting("uint8", (None, 3, None, None))(PIXELS), PIXELS.transpose(0, 3, 1, 2)
    )
    floats = np.zeros((2, 7), np.float32)
    assert fitting("float32", (None, 7), floats)(floats) is floats


@pytest.mark.parametrize(
    ("dtype", "shape", "statistics", "says"),
    [
        ("float32", (None, 3, 4, 6), {}, "mean () and std () do not say which"),
        ("float32", (None, 3, 4, 6), {"mean": (0.5,), "std": (0.5,)}, r"mean \(0.5,\)"),
        ("float32", (None, 3, 4, 6), {"mean": (0.5,) * 3, "std": (0.5, 0, 0.5)}, "do not say which"),
        ("float32", (None, 3, 8, 8), STATISTICS, r"takes float32 \(any, 3, 8, 8\), the data are uint8"),
        ("int8", (None, 3, 4, 6), STATISTICS, "takes int8"),
        ("uint8", (None, 72), {}, "takes uint8"),
    ],
)
def test_what_does_not_fit_is_explained(dtype, shape, statistics, says):
    with pytest.raises(DataError, match=says.replace("()", r"\(\)")) as error:
        fitting(dtype, shape, **statistics)
    assert error.value.where == "m.onnx"
    assert error.value.fix
