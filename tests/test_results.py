from edgekd.results import engine_name
from edgekd.spec import OnnxRuntime


def test_engines_of_one_runtime_have_names_of_their_own():
    targets = [OnnxRuntime(), OnnxRuntime(threads=2), OnnxRuntime(batch=4)]
    assert [engine_name(targets, index) for index in range(3)] == [
        "model.onnxruntime.onnx",
        "model.onnxruntime_2.onnx",
        "model.onnxruntime_3.onnx",
    ]
