import numpy as np
import pytest
import torch
from torch import nn

from edgekd.data.digits import DigitsSpec
from edgekd.export.float_network import FloatNetwork, write_float_network
from edgekd.runtimes.onnx_runtime_target import OnnxRuntimeTarget
from edgekd.tasks.classification import ClassificationSpec
from edgekd.train.checkpoint import EpochRecord
from edgekd.zoo.pixels import ImageNetwork, PixelGrid

DATA, TASK = DigitsSpec(image_size=8), ClassificationSpec()
HISTORY = [EpochRecord("p", 1, 0.5, None, 0.1, 2.0, False)]


def network(seed):
    torch.manual_seed(seed)
    return ImageNetwork(PixelGrid.like(), nn.Sequential(nn.Conv2d(1, 2, 3), nn.Flatten(), nn.Linear(72, 10)))


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    folder = tmp_path_factory.mktemp("float")
    write_float_network(folder, network(0).eval(), name="tiny", data=DATA, task=TASK, history=HISTORY)
    return FloatNetwork(folder, "", "")


def test_facts_are_counted(written):
    """2 * 9 weights and 2 biases, 18 products in each of 6 * 6 places; 72 * 10 weights and 10 biases."""
    facts, test = written.facts(), DATA.split("test")
    assert (facts.name, facts.params, facts.macs) == ("tiny", 20 + 730, 18 * 36 + 720)
    with torch.no_grad():
        right = network(0).eval()(torch.tensor(test.images)).argmax(1).numpy() == test.labels
    assert (facts.metric.value, facts.metric.n) == (right.mean(), len(test))


def test_history_is_kept(written):
    assert written.history() == HISTORY


def test_weights_load_into_the_same_architecture(written):
    fresh = network(1)
    written.load_into(fresh)
    images = torch.tensor(DATA.split("test").images[:4])
    assert torch.equal(fresh.eval()(images), network(0).eval()(images))


def test_the_onnx_file_takes_raw_pixels(written):
    images = DATA.split("test").images[:16]
    with torch.no_grad():
        expected = network(0).eval()(torch.tensor(images)).numpy()
    np.testing.assert_allclose(
        OnnxRuntimeTarget().open(written.onnx_path).predict(images), expected, atol=1e-4
    )
