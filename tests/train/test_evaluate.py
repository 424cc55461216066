import numpy as np
import torch
from torch import nn

from edgekd.data.dataset import Split
from edgekd.data.digits import DigitsSpec
from edgekd.data.parquet import ParquetSpec
from edgekd.tasks.classification import ClassificationSpec
from edgekd.train.evaluate import BATCH_SIZE, predict, validation_metric
from edgekd.zoo.pixels import ImageNetwork, PixelGrid


def _network(pixels: int, classes: int) -> ImageNetwork:
    torch.manual_seed(0)
    body = nn.Sequential(nn.Flatten(), nn.BatchNorm1d(pixels), nn.Dropout(0.5), nn.Linear(pixels, classes))
    return ImageNetwork(PixelGrid.like(), body)


def test_predict_covers_every_image_in_eval_mode() -> None:
    images = np.random.default_rng(0).integers(0, 256, (BATCH_SIZE + 3, 2, 2, 1), dtype=np.uint8)
    network = _network(4, 3).train()
    before = {key: value.clone() for key, value in network.state_dict().items()}
    outputs = predict(network, Split(images, np.zeros(len(images), np.int64)))
    assert (outputs.shape, outputs.dtype) == ((BATCH_SIZE + 3, 3), np.float32)
    assert network.training
    assert all(torch.equal(value, before[key]) for key, value in network.state_dict().items())
    with torch.no_grad():
        alone = network.eval()(torch.tensor(images[-1:])).numpy()
    np.testing.assert_allclose(outputs[-1:], alone, rtol=1e-5, atol=1e-6)


def test_validation_metric_is_the_metric_of_the_validation_split() -> None:
    data, task = DigitsSpec(image_size=8), ClassificationSpec()
    network = _network(64, 10)
    validation = data.split("validation")
    expected = task.measure(predict(network, validation), validation.labels)
    assert validation_metric(data, task)(network) == expected


class NoValidation(ParquetSpec):
    """Data whose validation split is empty."""

    def split(self, name: str) -> Split:  # type: ignore[override]
        return Split(np.zeros((0, 8, 8, 1), np.uint8), np.zeros(0, np.int64))


def test_validation_metric_is_none_without_a_validation_split() -> None:
    metric = validation_metric(NoValidation(path="none"), ClassificationSpec())
    assert metric(_network(64, 10)) is None
