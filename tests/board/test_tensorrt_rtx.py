"""The board's side of TensorRT with the parser and builder of TensorRT-RTX, which need no GPU."""

import json
import os

import numpy as np
import pytest

from edgekd.board.cuda import gpu_name
from edgekd.board.runtime import How, RuntimeRefusal
from edgekd.board.tensorrt_rtx import RUNTIME
from edgekd.errors import BuildError
from edgekd.runtimes.here import HERE

CONSTANTS = {"s": np.float32(0.05), "three": np.int8(3)}
FREE, FIXED = "float[N,3] x", "float[2,3] x"
QUANTIZED = "q = QuantizeLinear(x, s, three) y = DequantizeLinear(q, s, three)"


@pytest.fixture
def build(onnx_model, tmp_path):
    """Return a function that has TensorRT-RTX build an engine of a model, given as text."""
    try:
        RUNTIME.facts()
    except (ImportError, OSError) as e:
        pytest.skip(f"TensorRT-RTX is not installed (pip install 'edgekd[tensorrt-rtx]'): {e}")

    def run(inputs, outputs, body, *, largest_batch=4):
        path = tmp_path / "model.onnx"
        path.write_bytes(onnx_model(inputs, outputs, body, CONSTANTS).SerializeToString())
        return RUNTIME.build(str(path), {"largest_batch": largest_batch}, b"")

    return run


def test_an_engine_is_built_without_a_gpu(build):
    engine, log, cache = build(FREE, "float[N,3] y", "y = Relu(x)")
    assert len(engine) > 1000
    assert log.startswith("Layers:")
    assert "Dimensions: [-1,3]" in log
    assert cache == b""


def test_a_fixed_batch_stays_fixed(build):
    _, log, _ = build(FIXED, "float[2,3] y", "y = Relu(x)")
    assert "Dimensions: [2,3]" in log


@pytest.mark.parametrize(
    ("model", "words"),
    [
        ((FREE, "float[N,3] y", "y = Nonsense(x)"), "Plugin not found"),
        ((FREE, "float[N,3] y", QUANTIZED), "Non-zero zero point is not supported"),
        (("float[N,3,H] x", "float[N,3,H] y", "y = Relu(x)"), r"input x has free sizes in \(-1, 3, -1\)"),
    ],
    ids=["operator", "zero point", "height"],
)
def test_a_refusal_keeps_the_builders_words_on_one_line(build, model, words):
    with pytest.raises(RuntimeRefusal, match=words) as caught:
        build(*model)
    assert "\n" not in str(caught.value)


def test_an_engine_after_a_refusal_is_built_as_ever(build):
    with pytest.raises(RuntimeRefusal):
        build(FREE, "float[N,3] y", "y = Nonsense(x)")
    assert build(FREE, "float[N,3] y", "y = Relu(x)")[1].startswith("Layers:")


def test_opening_an_engine_without_a_gpu_says_so(build, tmp_path):
    if gpu_name():
        pytest.skip("there is a GPU")
    engine, _, _ = build(FREE, "float[N,3] y", "y = Relu(x)")
    with pytest.raises(RuntimeRefusal, match="driver"):
        RUNTIME.open(engine, How())
    (tmp_path / "model.plan").write_bytes(engine)
    with pytest.raises(BuildError, match="driver") as caught:
        HERE.open(tmp_path / "model.plan", runtime="tensorrt_rtx")
    assert "with the GPU" in caught.value.fix


def test_the_process_may_fork_after_it_was_asked_for_facts(build, printed, tmp_path):
    build(FREE, "float[N,3] y", "y = Relu(x)")
    code = """
import json
from pathlib import Path
from edgekd.board.tensorrt_rtx import RUNTIME
from edgekd.errors import BuildError
from edgekd.runtimes.here import HERE
before = len(os.listdir("/proc/self/task"))
RUNTIME.facts()
print(len(os.listdir("/proc/self/task")) - before, "libcuda.so" in Path("/proc/self/maps").read_text())
child = os.fork()
if not child:
    engine, log, cache = RUNTIME.build(sys.argv[1], {"largest_batch": 1}, b"")
    os._exit(0 if engine and log else 1)
print(json.dumps(os.waitpid(child, 0)[1]))
"""
    new_threads_and_driver, status = printed(code, os.fspath(tmp_path / "model.onnx"))
    assert new_threads_and_driver == "0 False"
    assert json.loads(status) == 0
