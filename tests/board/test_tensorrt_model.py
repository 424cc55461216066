"""How an engine is fed: memory, sizes, types, with stand-ins for the GPU's driver and for TensorRT."""

from pathlib import Path

import pytest

OPENED = """
sys.path.insert(0, sys.argv[1])
import tensorrt_double
from edgekd.board.runtime import How, RuntimeRefusal
from edgekd.board.tensorrt import TensorRtModel

def refusal(do, *arguments):
    try:
        do(*arguments)
    except RuntimeRefusal as e:
        return e

def images(n):
    return {"x": np.arange(3 * n, dtype=np.float32).reshape(n, 3)}

model = TensorRtModel(tensorrt_double, b"engine", How(profile=True))
"""


@pytest.fixture
def said(driver, printed):
    """Return a function that runs a program with a model that is open."""
    return lambda code: printed(OPENED + code, str(Path(__file__).parent))


def test_an_engine_runs_batches_of_any_size(said):
    code = """
print(model.inputs, model.outputs)
results = [(n, model.run(images(n))["y"]) for n in (1, 4, 2)]
print([(y == 2 * images(n)["x"]).all() and y.dtype == np.float32 for n, y in results])
x = np.asfortranarray(images(3)["x"])
print(model.run({"x": x})["y"].tolist() == (2 * x).tolist())
print(model.times())
model.close()
"""
    assert said(code) == [
        "[('x', 'float32', [None, 3])] [('y', 'float32', [None, 3])]",
        "[True, True, True]",
        "True",
        str([("double", 250.0)] * 4),
    ]


def test_what_does_not_fit_is_refused(said):
    code = """
print(refusal(model.run, images(5)))
print(refusal(model.run, {"x": images(1)["x"].astype(np.uint8)}))
print(refusal(model.prepare, {"z": images(1)["x"]}))
print(refusal(TensorRtModel, tensorrt_double, b"another", How()))
print(model.run(images(1))["y"].tolist())
"""
    assert said(code) == [
        "setInputShape: x is out of (5, 3)",
        "input x takes float32, not uint8",
        "input x takes float32, not nothing",
        "the magic tag does not match",
        "[[0.0, 2.0, 4.0]]",
    ]


def test_what_is_timed_is_the_same_inference_each_time(said):
    code = """
once = model.prepare(images(2))
print([once(), once(), len(model.times())])
"""
    assert said(code) == ["[None, None, 2]"]


def test_the_inspector_is_asked_with_sizes_that_are_known(said):
    assert said("print(model.shown().decode())") == ['{"Layers": [{"dimensions": [1, 3]}]}']
