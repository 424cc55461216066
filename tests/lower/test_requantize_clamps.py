import numpy as np
import torch
from torch import nn

from edgekd.export.export_marked import write_marked
from edgekd.lower.marked import MARKED
from edgekd.lower.requantize_clamps import RequantizeClampsPass
from edgekd.quant.calibrate import calibrate
from edgekd.quant.prepare import prepare
from edgekd.runtimes.stages import write_lowered
from edgekd.runtimes.tensorrt_target import TensorRtRtxTarget

X = np.float32([[-3, -0.2, 0.2, 40]])


def test_a_relu_of_dequantized_numbers_is_quantized_by_their_grid(graph, evaluate, op_types):
    body = "q = QuantizeLinear(x, s, z) d = DequantizeLinear(q, s, z) r = Relu(d) y = MatMul(r, w)"
    constants = {"s": np.float32(0.25), "z": np.int8(0), "w": np.eye(4, dtype=np.float32)}
    model = graph("float[1,4] x", "float[1,4] y", body, **constants)
    before = evaluate(model, x=X)["y"]
    RequantizeClampsPass()(model)
    assert op_types(model)[2:] == ["Relu", "QuantizeLinear", "DequantizeLinear", "MatMul"]
    assert np.array_equal(evaluate(model, x=X)["y"], before)
    assert not RequantizeClampsPass()(model).modified


def test_an_identity_between_norm_and_relu_leaves_no_layer_in_float(tmp_path, with_statistics, monkeypatch):
    """As timm's ResNets have it: under profile portable the ReLU stands behind the quantizer."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    torch.manual_seed(0)
    network = nn.Sequential(
        nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.Identity(), nn.ReLU(), nn.Conv2d(8, 8, 3), nn.ReLU(),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 3),
    )  # fmt: skip
    x = torch.randn(4, 3, 8, 8)
    student = prepare(with_statistics(network), x[:2], "portable")
    calibrate(student, [x], "minmax")
    write_marked(tmp_path, student, x)
    target, path = TensorRtRtxTarget(), tmp_path / "lowered.onnx"
    write_lowered(tmp_path / MARKED, path, target=target, metadata={})
    log = target.build(path, tmp_path / "engine")
    inside = target.stand_in(log).look_inside(path, {"image": x.numpy()}, marked=tmp_path / MARKED)
    assert inside.coverage.fallbacks == ()
    assert inside.coverage.integer_ops == 3
