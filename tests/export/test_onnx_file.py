import onnx
import onnxruntime
import pytest
import torch
from torch import nn

from edgekd.errors import ExportError
from edgekd.export.onnx_file import INPUT_NAME, OPSET, OUTPUT_NAME, export_onnx
from edgekd.quant.prepare import prepare

X = torch.randn(3, 3, 8, 8, generator=torch.Generator().manual_seed(0))


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(144, 5))


def test_a_float_network_leaves_torch_unchanged(network, tmp_path, capsys):
    export_onnx(network, X[:2], tmp_path / "model.onnx")
    session = onnxruntime.InferenceSession(tmp_path / "model.onnx")
    (logits,) = session.run([OUTPUT_NAME], {INPUT_NAME: X.numpy()})  # the batch is free
    torch.testing.assert_close(torch.tensor(logits), network.eval()(X), atol=1e-5, rtol=1e-5)
    model = onnx.load(tmp_path / "model.onnx")
    assert {item.domain: item.version for item in model.opset_import}[""] == OPSET
    assert not any(node.metadata_props for node in model.graph.node)
    assert not list(tmp_path.glob("*.data"))
    assert capsys.readouterr().out == ""


def test_a_student_leaves_torch_with_one_mark_per_quantizer(network, tmp_path):
    export_onnx(prepare(network, X), X[:2], tmp_path / "marked.onnx")
    marks = {}
    for node in onnx.load(tmp_path / "marked.onnx").graph.node:
        if node.domain == "edgekd":
            values = {item.name: onnx.helper.get_attribute_value(item) for item in node.attribute}
            marks[values["mark"].decode()] = (values["qmin"], values["qmax"], values["axis"])
    assert marks == {
        "input_1": (-128, 127, -1),
        "0": (0, 255, -1),
        "0.weight": (-127, 127, 0),
        "4.weight": (-127, 127, 0),
    }


def test_what_torch_cannot_export_is_refused_in_its_own_words(tmp_path):
    class Refusing(nn.Module):
        def forward(self, x):
            msg = "not like this"
            raise RuntimeError(msg)

    with pytest.raises(
        ExportError, match="torch cannot export Refusing: RuntimeError: not like this"
    ) as error:
        export_onnx(Refusing(), X, tmp_path / "model.onnx")
    assert error.value.__cause__ is not None
    assert not (tmp_path / "model.onnx").exists()
