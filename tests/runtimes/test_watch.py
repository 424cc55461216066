import numpy as np
import onnx
import onnx_ir as ir

from edgekd.errors import BuildError
from edgekd.lower.float_reference import activation_marks
from edgekd.lower.tensorrt_dialect import lower_for_tensorrt
from edgekd.runtimes.here import HERE
from edgekd.runtimes.onnx_runtime import tap
from edgekd.runtimes.tensorrt_target import TensorRtRtxTarget
from edgekd.runtimes.watch import watch_codes


def test_codes_that_change_the_outputs_or_cannot_be_given_out_are_left_out(residual):
    """The first tensor is as it is, the second cannot be an output, every other one changes the result."""
    marks, feeds = activation_marks(ir.load(residual.marked)), {"image": residual.inputs}
    with HERE.open(residual.model) as session:
        computed = session.run(feeds)
    asked = []

    def run(tapped):
        asked.append(tapped)
        if len(asked) == 2:
            msg = "no such output"
            raise BuildError(msg)
        with HERE.open(tapped) as session:
            outputs = session.run(feeds)
        return outputs if len(asked) == 1 else {**outputs, "logits": outputs["logits"] + 1}

    codes = watch_codes(onnx.load(residual.model), marks, computed, run, lambda mark: 0)
    assert list(codes) == [marks[0].name]
    assert codes[marks[0].name].dtype == np.int32
    assert len(asked) == len(marks)


def test_tensorrt_builds_an_engine_that_gives_codes_out(residual_portable, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    model = ir.to_proto(lower_for_tensorrt(ir.load(residual_portable.marked), metadata={}))
    for mark in activation_marks(ir.load(residual_portable.marked)):
        (tmp_path / "tapped.onnx").write_bytes(tap(model, [mark.codes_name], elem_type=onnx.TensorProto.INT8))
        TensorRtRtxTarget().build(tmp_path / "tapped.onnx", tmp_path / "engine")
