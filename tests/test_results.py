from edgekd.results import engine_name
from edgekd.unions import OnnxRuntime, OpenVino


def test_engines_of_one_runtime_have_names_of_their_own():
    targets = [OnnxRuntime(), OpenVino(), OnnxRuntime(threads=2), OnnxRuntime(batch=4)]
    assert [engine_name(targets, index) for index in range(4)] == [
        "model.onnxruntime",
        "model.openvino",
        "model.onnxruntime_2",
        "model.onnxruntime_3",
    ]
