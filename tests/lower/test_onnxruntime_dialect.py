import numpy as np
import onnx
import onnx_ir as ir
import pytest

from edgekd.errors import LowerError
from edgekd.lower.onnxruntime_dialect import lower_for_onnxruntime

RNG = np.random.default_rng(0)
CONSTANTS = {
    "w": RNG.normal(0, 1, (4, 3, 3, 3)).astype(np.float32),
    "ws": np.float32([0.02, 0.03, 0.02, 0.01]),
    "v": RNG.normal(0, 1, (5, 4)).astype(np.float32),
    "vs": np.float32([0.02, 0.03, 0.02, 0.01, 0.01]),
    "s": np.float32(0.05),
    "s2": np.float32(0.02),
    "axes": np.int64([2, 3]),
    "f4": np.float32([1, 2, 3, 4]),
}
BODY = (
    'x = edgekd.FakeQuant<qmin=-128, qmax=127, axis=-1, mark="x">(image, s) '
    'wq = edgekd.FakeQuant<qmin=-127, qmax=127, axis=0, mark="conv.weight">(w, ws) '
    "c = Conv(x, wq) r = Relu(c) "
    'a = edgekd.FakeQuant<qmin=0, qmax=255, axis=-1, mark="conv">(r, s) '
    "m = ReduceMean<keepdims=0>(a, axes) "
    'p = edgekd.FakeQuant<qmin=0, qmax=255, axis=-1, mark="pool">(m, s2) '
    'vq = edgekd.FakeQuant<qmin=-127, qmax=127, axis=0, mark="linear.weight">(v, vs) '
    "logits = Gemm<transB=1>(p, vq)"
)


def lower(graph, body=BODY):
    model = graph("float[1,3,8,8] image", "float[1,5] logits", body, **CONSTANTS)
    return lower_for_onnxruntime(model, metadata={"classes": "a b"})


def test_lowered_graph_is_plain_onnx_of_the_chosen_version(graph, tmp_path):
    model = lower(graph)
    ir.save(model, tmp_path / "model.onnx")
    onnx.checker.check_model(tmp_path / "model.onnx", full_check=True)
    stored = onnx.load(tmp_path / "model.onnx")
    assert stored.ir_version == 10
    assert [(item.domain, item.version) for item in stored.opset_import] == [("", 21)]
    assert {item.key: item.value for item in stored.metadata_props} == {"classes": "a b"}
    assert [value.name for value in (*stored.graph.input, *stored.graph.output)] == ["image", "logits"]


def test_lowered_graph_stores_nothing_twice(graph):
    """Weights are int8, biases int32; the float weights of the marked graph are gone."""
    stored = ir.to_proto(lower(graph)).graph.initializer
    kinds = {item.name: onnx.TensorProto.DataType.Name(item.data_type) for item in stored}
    assert kinds["conv.w"] == kinds["linear.w"] == "INT8"
    assert kinds["conv.b"] == kinds["linear.b"] == "INT32"
    floats = {item.name: list(item.dims) for item in stored if item.data_type == onnx.TensorProto.FLOAT}
    assert max(len(dims) for dims in floats.values()) == 1


def test_a_mark_that_no_pass_knows_is_refused(graph):
    body = BODY.replace("r = Relu(c)", "r = edgekd.Mystery(c)")
    with pytest.raises(LowerError, match="marks left after lowering: Mystery conv"):
        lower(graph, body)


@pytest.mark.parametrize(
    ("old", "new", "what"),
    [
        ('qmax=255, axis=-1, mark="conv"', 'qmax=300, axis=-1, mark="conv"', "do not fit uint8"),
        (
            "r = Relu(c)",
            "n = MaxPool<kernel_shape=[1,1]>(c) r = BatchNormalization(n, f4, f4, f4, f4)",
            "BatchNorm",
        ),
    ],
    ids=["codes", "batch norm"],
)
def test_what_the_dialect_cannot_express_is_refused(graph, old, new, what):
    assert old in BODY
    with pytest.raises(Exception, match=what) as error:
        lower(graph, BODY.replace(old, new))
    assert isinstance(error.value, LowerError)
