import numpy as np
import onnx
import pytest
import torch
from onnx import numpy_helper

from edgekd.errors import ExportError
from edgekd.export import export_marked
from edgekd.export.export_marked import fake_quant_codes, write_marked
from edgekd.quant.placement import activation_quantizers


def test_fake_quant_codes_are_the_codes_of_every_quantizer(residual):
    codes, (logits,) = fake_quant_codes(residual.student, torch.tensor(residual.inputs))
    quantizers = activation_quantizers(residual.student)
    assert list(codes) == list(quantizers) == ["stem", "left", "add", "reducemean"]
    for mark, quantizer in quantizers.items():
        assert codes[mark].dtype == np.int32
        assert quantizer.grid.qmin <= codes[mark].min() < codes[mark].max() <= quantizer.grid.qmax
    with torch.no_grad():
        assert torch.equal(logits, residual.student.eval()(torch.tensor(residual.inputs)))


def test_fake_quant_codes_leaves_no_hooks(residual):
    fake_quant_codes(residual.student, torch.tensor(residual.inputs))
    assert not any(module._forward_hooks for module in residual.student.modules())


@pytest.mark.parametrize(
    ("constant", "layer"), [("stem.parametrizations.weight", "stem"), ("linear.bias", "logits")]
)
def test_an_export_that_differs_from_torch_is_refused(residual, tmp_path, monkeypatch, constant, layer):
    """A fault of the exporter, planted between torch and the comparison."""
    export_onnx = export_marked.export_onnx

    def faulty(network, example, path):
        export_onnx(network, example, path)
        model = onnx.load(path)
        stored = next(item for item in model.graph.initializer if constant in item.name)
        changed = numpy_helper.to_array(stored) + np.float32(1)
        stored.CopyFrom(numpy_helper.from_array(changed, stored.name))
        onnx.save(model, path)

    monkeypatch.setattr(export_marked, "export_onnx", faulty)
    with pytest.raises(ExportError, match=f"the exported layer {layer} differs from torch in"):
        write_marked(tmp_path, residual.student, torch.tensor(residual.inputs))
