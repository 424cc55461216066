import os

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from torch import fx

from edgekd.data.parquet import ParquetSpec
from edgekd.tasks.classification import ClassificationSpec
from edgekd.zoo.cost import count_params
from edgekd.zoo.pixels import ImageNetwork, NormalizePixels
from edgekd.zoo.resnet_cifar import ResNetCifarSpec
from edgekd.zoo.weights import load_weights


@pytest.mark.parametrize(("depth", "params_m"), [(20, 0.27), (32, 0.46), (44, 0.66), (56, 0.85), (110, 1.7)])
def test_build_has_the_size_of_the_paper(depth, params_m):
    """Table 6 of arXiv:1512.03385."""
    body = ResNetCifarSpec(depth=depth).build(channels=3, classes=10, size=(32, 32))
    assert count_params(body) / 1e6 == pytest.approx(params_m, abs=0.05 if depth == 110 else 0.006)


def test_build_is_traceable():
    body = ResNetCifarSpec(depth=8).build(channels=1, classes=4, size=(32, 32)).eval()
    x = torch.randn(2, 1, 32, 32, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(fx.symbolic_trace(body)(x), body(x))
    assert body(x).shape == (2, 4)


def test_spec_refuses_a_depth_that_is_not_6n_plus_2():
    with pytest.raises(ValidationError, match="6n \\+ 2"):
        ResNetCifarSpec(depth=18)
    assert ResNetCifarSpec(depth=56).title == "resnet56"


@pytest.mark.cifar10
@pytest.mark.skipif("EDGEKD_DATA" not in os.environ, reason="EDGEKD_DATA is not set")
def test_resnet20_weights_reach_their_accuracy():
    """88.86 % on all 10 000 test images, so 88.9 +- 3 % (three standard errors) on the first 1 000."""
    body = ResNetCifarSpec(depth=20).build(channels=3, classes=10, size=(32, 32))
    load_weights(body, "$EDGEKD_DATA/weights/resnet20_cifar10.safetensors")
    network = ImageNetwork(NormalizePixels((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)), body.eval())
    test = ParquetSpec(path="$EDGEKD_DATA/cifar10").split("test").take(np.arange(1000))
    with torch.no_grad():
        outputs = network(torch.tensor(test.images)).numpy()
    assert ClassificationSpec().metric(outputs, test.labels) == pytest.approx(0.8886, abs=0.03)
