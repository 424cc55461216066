import pytest
import torch

from edgekd.zoo.cost import count_macs, count_params
from edgekd.zoo.ds_cnn import DsCnnSpec


@pytest.mark.parametrize(("size", "mega_ops"), [("small", 5.4), ("medium", 19.8), ("large", 56.9)])
def test_build_costs_what_the_paper_says(size, mega_ops):
    """The paper counts a multiply-accumulate as two operations, and other operators too."""
    body = DsCnnSpec(size=size, stem="spectrogram").build(channels=1, classes=12, size=(49, 10))
    assert 2 * count_macs(body, channels=1, height=49, width=10) / 1e6 == pytest.approx(mega_ops, rel=0.03)


def test_build_small_has_the_parameters_that_its_layers_add_up_to():
    """Stem 64*40, four blocks of 64*9 + 64*64, nine BatchNorms of 2*64, classifier 64*12 + 12."""
    body = DsCnnSpec(stem="spectrogram").build(channels=1, classes=12, size=(49, 10))
    assert count_params(body) == 2_560 + 4 * 4_672 + 9 * 128 + 780


@pytest.mark.parametrize(("size", "shape"), [("small", (2, 64, 16, 16)), ("large", (2, 276, 8, 8))])
def test_the_image_stem_halves_the_image(size, shape):
    body = DsCnnSpec(size=size).build(channels=1, classes=10, size=(32, 32)).eval()
    shapes = []
    body.blocks.register_forward_hook(lambda _module, _inputs, output: shapes.append(tuple(output.shape)))
    assert body(torch.zeros(2, 1, 32, 32)).shape == (2, 10)
    assert shapes == [shape]
    assert DsCnnSpec(size=size).title == f"ds_cnn {size}"
